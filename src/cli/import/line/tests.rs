//! What lines of xargs and parallel come to.

use super::*;

fn shown(carried: &Carried) -> String {
    let source = carried.source.as_ref().map(|source| format!("[{source}] ")).unwrap_or_default();
    let arguments = carried.arguments.iter().map(|words| format!(" ::: {}", words.join(" ")));
    format!(
        "{source}{}-- {}{}",
        carried.options.iter().map(|option| format!("{option} ")).collect::<String>(),
        carried.command.join(" "),
        arguments.collect::<String>()
    )
}

#[test]
fn a_line_of_xargs_has_its_options_here() {
    for (line, ours, notes) in [
        ("xargs -0 -r -P4 -n1 gzip -9", "-j 4 -n 1 -0 -- gzip -9", 0),
        ("/usr/bin/xargs -0n2 -P 8 mv", "-j 8 -n 2 -0 -- mv", 1),
        ("xargs -d '\\n' -I% cp % %.bak", "-- cp {} {}.bak", 0),
        ("xargs -d '\\n' -n1 find {} {.} x", "-n 1 -- find {{}} {{.}} x", 1),
        ("xargs --null -r --max-procs=0 --max-args 3 x", "-j cpus -n 3 -0 -- x", 0),
        ("xargs -r rm -f", "-n 1000 -0 -- rm -f", 2),
        ("ls | xargs -r rm -f", "[ls | xargs -r printf '%s\\0'] -n 1000 -0 -- rm -f", 1),
        ("xargs -n1 <'a b'", "[xargs -r printf '%s\\0' < 'a b'] -n 1 -0 -- echo", 1),
        ("echo a,b | xargs -d, -n1 x", "[echo a,b | tr ',' '\\0'] -n 1 -0 -- x", 1),
        ("echo a,b | xargs -d '\\x2c' -n1 x", "[echo a,b | tr ',' '\\0'] -n 1 -0 -- x", 1),
        ("echo a,b | xargs -d '\\054' -n1 x", "[echo a,b | tr ',' '\\0'] -n 1 -0 -- x", 1),
        ("echo a | xargs -d '\\r' -n1 x", "[echo a | tr '\\015' '\\0'] -n 1 -0 -- x", 1),
        ("xargs -d '\\x0a' -n1 x", "-n 1 -- x", 1),
        ("xargs -0 -n1 -t -e x", "-n 1 -0 -- x", 2),
        ("xargs -0 -P $(nproc) -n1 -r x", "-j cpus -n 1 -0 -- x", 0),
        ("xargs -0 -P $N -n1 x", "-n 1 -0 -- x", 2),
        ("xargs -i mv {} {}.old", "-0 -- mv {} {}.old", 1),
        ("ls | xargs -I% cp '%' $HOME/x", "[ls | xargs -I{} printf '%s\\0' {}] -0 -- cp {} $HOME/x", 1),
        ("xargs -0 -n2 -I% cp % {} %.b", "-0 -- cp {} {{}} {}.b", 0),
        ("xargs -0 -I% -L2 cp % {}", "-n 2 -0 -- cp % {{}}", 1),
        ("xargs -0 -I% echo 'a b' $X", "-0 -- sh -c echo 'a b' $X sh", 1),
        ("xargs -0 -r -n1 cp {a,b}", "-n 1 -0 -- cp {a,b}", 2),
        ("ls | xargs -L2 x", "[ls | xargs -I{} printf '%s\\0' {}] -n 2 -0 -- x", 2),
    ] {
        let carried = place::place(line, "xargs").and_then(xargs::carried).unwrap();
        assert_eq!(shown(&carried), ours, "{line}");
        // That of 255 stands in each.
        assert_eq!(carried.notes.len(), notes + 1, "{line}: {:?}", carried.notes);
    }
}

#[test]
fn a_line_of_parallel_has_its_options_here() {
    for (line, ours, notes) in [
        ("parallel -j4 -k gzip {} ::: a b", "-j 4 -k -- gzip {} ::: a b", 0),
        ("parallel gzip", "-j cpus -- gzip", 0),
        ("parallel --bar --jobs 50% 'echo {} > {.}.x' :::: list", "-j 50% -a list -- echo {} > {.}.x", 0),
        ("parallel echo {} '|' wc", "-j cpus -- echo {} | wc", 0),
        ("parallel --tag --jl x --halt now,fail=1 -j2 f", "--tag --joblog x --halt now,fail=1 -j 2 -- f", 0),
        ("parallel echo ::: a b ::: c d", "-j cpus -n 2 -- echo ::: a c a d b c b d", 0),
        ("parallel echo {2} {1} ::: a b :::+ c d", "-j cpus -n 2 -- echo {2} {1} ::: a c b d", 0),
        ("parallel -j+2 x", "-j cpus -- x", 1),
        ("parallel -j-1 x", "-j cpus -- x", 1),
        (
            "parallel convert {1} {1.}.png ::: *.jpg",
            "[for item in *.jpg; do printf '%s\\0' \"$item\"; done] -j cpus -0 -- convert {} {.}.png",
            0,
        ),
        (
            "parallel echo ::: {1..3}",
            "[for item in {1..3}; do printf '%s\\0' \"$item\"; done] -j cpus -0 -- echo",
            0,
        ),
        ("parallel -a <(seq 3) echo", "[seq 3] -j cpus -- echo", 0),
        ("seq 3 | parallel -a - echo", "[seq 3] -j cpus -- echo", 0),
        ("parallel -I, echo , x", "-j cpus -- echo {} x", 0),
        ("parallel -I,, echo ,, {} {.} {1.}", "-j cpus -- echo {} {{}} {.} {{1.}}", 0),
        ("parallel echo {-1} {-1.} ::: a", "-j cpus -- echo {} {.} ::: a", 0),
        ("parallel echo {-1} {1} ::: a ::: b", "-j cpus -n 2 -- echo {-1} {1} ::: a b", 0),
        ("parallel -N2 echo {1} {-1}", "-n 2 -j cpus -- echo {1} {-1}", 0),
        ("parallel -N2 echo {1} {2}", "-n 2 -j cpus -- echo {1} {2}", 0),
        ("parallel -N1 echo {1}", "-n 1 -j cpus -- echo {}", 0),
        ("parallel 'gzip < \"{}\" > \"{.}.gz\"'", "-j cpus -- gzip < {} > {.}.gz", 1),
        ("parallel 'echo \"{}\" {}'", "-j cpus -- echo {} {}", 1),
        ("parallel echo '\"a {1}\"' {}", "-j cpus -- echo \"a {}\" {}", 0),
        ("parallel -q awk '{print $1}'", "-j cpus -- awk {print $1}", 0),
        ("parallel -r rm ::: a '' ' ' b", "-j cpus -- rm ::: a b", 0),
        ("ls | parallel -r rm", "[ls | sed '/^[[:space:]]*$/d'] -j cpus -- rm", 0),
        ("parallel -0 -r rm < 'a b'", "[sed -z '/^[[:space:]]*$/d' < 'a b'] -j cpus -0 -- rm", 0),
        ("parallel -r -d , rm < l", "[tr ',' '\\0' < l | sed -z '/^[[:space:]]*$/d'] -j cpus -0 -- rm", 0),
        ("parallel -r rm", "-j cpus -- rm", 1),
        ("parallel --delay 1 -u --tmpdir x echo 'a\\tb'", "-j cpus -- echo a\\tb", 4),
        ("parallel < commands", "-j cpus -a commands -- bash -c eval \"$1\" bash", 1),
        (
            "parallel mv {} '{= s/a/b/ =}'",
            "-j cpus -- p1=$(p={} perl -e '$_=$ENV{p}; s/a/b/; print') || exit; mv {} \"$p1\"",
            1,
        ),
        (
            "parallel 'rm \"{= s/a/b/ =}\" \"$p1\"'",
            "-j cpus -- pp1=$(p={} perl -e '$_=$ENV{p}; s/a/b/; print') || exit; rm \"$pp1\" \"$p1\"",
            2,
        ),
        ("parallel FOO=x env", "-j cpus -- FOO=x env", 0),
        ("parallel type", "-j cpus -- type {}", 0),
        ("parallel exit {}", "-j cpus -- exit {}", 0),
        ("parallel . {}", "-j cpus -- . {}", 1),
        ("parallel mkdir out/{}/{a,b}", "-j cpus -- mkdir out/{}/{a,b}", 2),
        ("parallel mkdir '{a,b}/{}'", "-j cpus -- mkdir {a,b}/{}", 1),
        ("parallel '[[ -e {} ]] || rm {}'", "-j cpus -- [[ -e {} ]] || rm {}", 1),
        ("parallel 'echo -e \"a\\tb\" {}'", "-j cpus -- echo -e \"a\\tb\" {}", 1),
        ("parallel -d ';' echo ::: 'a;b c' 'd;'", "-j cpus -- echo ::: a b c d", 0),
        (
            "parallel -d '\\054' echo {1}{2} ::: a,b ::: 'c,d'",
            "-j cpus -n 2 -- echo {1}{2} ::: a c a d b c b d",
            0,
        ),
        ("parallel -d '\\t' echo < l", "[tr '\\t' '\\0' < l] -j cpus -0 -- echo", 0),
    ] {
        let carried = place::place(line, "parallel").and_then(parallel::carried).unwrap();
        assert_eq!(shown(&carried), ours, "{line}");
        assert_eq!(carried.notes.len(), notes, "{line}: {:?}", carried.notes);
    }
}

#[test]
fn what_would_become_another_job_is_refused_with_what_to_write() {
    for (line, why) in [
        ("parallel --pipe wc", "mode = \"stream\""),
        ("parallel --colsep , echo {1} {2}", "a line of each column"),
        ("parallel echo {2} ::: a", "{2} has no list"),
        ("parallel --plus echo {..} ::: a", "{..} can't be carried over"),
        ("parallel echo '{= $_=seq() =}'", "can't be carried over"),
        ("parallel --dry-run echo", "mprun do --dry-run"),
        ("parallel echo ::: a :::: b", "can't be combined"),
        ("parallel -n2 echo ::: a ::: b", "leave it out"),
        ("parallel -d END echo", "more than one byte"),
        ("parallel -d '\\x2c' echo", "more than one byte"),
        ("parallel 'rm \"x {= s/a/b/ =}\"'", "inside of quotes"),
        ("parallel \"ssh h 'rm {= s/a/b/ =}'\"", "inside of quotes"),
        ("parallel sh -c {= s/a/b/ =}", "would be obeyed"),
        ("parallel eval {= s/a/b/ =}", "would be obeyed"),
        ("parallel -N2 echo {= s/a/b/ =}", "of several arguments"),
        ("parallel 'rm {= $_=Q($_) =}'", "can't be carried over"),
        ("parallel 'rm {= $_=$arg[1] =}'", "can't be carried over"),
        ("parallel echo {{}}", "an item in braces"),
        ("parallel echo {-2} ::: a", "{-2} has no list"),
        ("parallel -S web1 rm -r cache/{} ::: a", "-S can't be carried over: start a run on each machine"),
        ("parallel --sshloginfile l rm", "start a run on each machine"),
        ("parallel --nonall rm", "start a run on each machine"),
        ("parallel --wd d rm", "`cd DIR && parallel …`"),
        ("parallel -m rm", "use -n N"),
        ("parallel --xargs rm", "use -n N"),
        ("parallel -p rm", "mprun asks nothing"),
        ("parallel --shellquote", "--dry-run echo"),
        ("parallel --retry-failed --joblog l", "use --resume-failed"),
        ("parallel --results d rm", "'cmd {} > {/}.out'"),
        ("parallel --tagstring x{} rm", "`--tag` puts the item before each line"),
        ("parallel --ctag rm", "`--tag` puts the item before each line"),
        ("parallel -v rm", "-v can't be carried over: leave it out"),
        ("parallel --unheard-of x rm", "--unheard-of can't be carried over: it is not known here"),
        ("parallel 'echo $PARALLEL_SEQ' ::: a", "`{#}` is the number"),
        ("parallel echo ::: a b \\", "is there more of it"),
    ] {
        let refused = place::place(line, "parallel").and_then(parallel::carried).unwrap_err();
        assert!(refused.contains(why), "{line}: {refused}");
    }
    for (line, why) in [
        ("xargs -p rm", "mprun asks nothing"),
        ("xargs -o vim", "there is no terminal"),
        ("xargs -E END rm", "sed '/^END$/,$d'"),
        ("xargs --process-slot-var=N rm", "MPRUN_WORKER"),
        ("xargs -J % cp % d", "write the line into a script"),
    ] {
        let refused = place::place(line, "xargs").and_then(xargs::carried).unwrap_err();
        assert!(refused.contains(why), "{line}: {refused}");
    }
}
