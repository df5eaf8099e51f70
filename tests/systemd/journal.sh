# The journal: one entry per line, with a level and fields for queries, and without a second time stamp.
. ./prelude.sh

cat >/etc/mprun/talk.toml <<'END'
name = "talker"
[stages.tick]
use = "tick"
with = { every = "20ms" }
output = "ticks"
[stages.talk]
command = ["sh", "-c", "echo 'one line' >&2; echo 'and another' >&2; cat >/dev/null"]
mode = "each"
input = "ticks"
output = "none"
processes = 2
[stages.end]
use = "discard"
input = "none"
END
systemctl start mprun@talk
fields() { entries -o json --output-fields=MESSAGE,PRIORITY,MPRUN_WORKER,MPRUN_STAGE,_SYSTEMD_UNIT,SYSLOG_IDENTIFIER "$@"; }

some() { [ "$(entries MPRUN_STAGE=talk MPRUN_PIPELINE=talker | wc -l)" -gt 20 ]; }
until_true some
kill -KILL "$(pgrep -o -f '^mprun:talk.1. __worker')"
killed() { entries MPRUN_STAGE=talk MPRUN_WORKER=1 PRIORITY=4 -o cat | grep -q 'was killed by SIGKILL'; }
until_true killed # said by the supervisor, found by the worker that it is about
systemctl stop mprun@talk

all=$(entries -u mprun@talk -t mprun -o cat)
grep -qx 'talk\[0\] one line' <<<"$all" || fail "no such entry: $all"
if grep -E '^<[0-7]>|20[0-9]{2}-[0-9]{2}-[0-9]{2}T' <<<"$all"; then fail 'a level or a time stands in the text'; fi
grep -q 'up after' < <(entries -u mprun@talk PRIORITY=6 MPRUN_PIPELINE=talker -o cat) || fail 'no level for an info'
grep -q '"_SYSTEMD_UNIT":"mprun@talk.service"' < <(fields MPRUN_STAGE=talk) || fail 'the entries have no unit'

# Each line of a report has its level.
echo 'bad = 1' >/etc/mprun/bad.toml
systemctl start mprun@bad 2>/dev/null || true
[ "$(entries -u mprun@bad -t mprun -p err -o cat | wc -l)" -ge 4 ] || fail 'the report is not filed as errors'

# Where the journal's own socket can't be reached, the stream of standard error carries the level.
cat >/etc/systemd/system/cut.service <<'END'
[Service]
Type=notify
ExecStart=/usr/bin/mprun run /etc/mprun/talk.toml
InaccessiblePaths=/run/systemd/journal/socket
END
systemctl daemon-reload
systemctl start cut
systemctl stop cut
grep -q '^up after' < <(entries -u cut PRIORITY=6 -o cat) || fail 'the level was lost on the way'

# Redirected elsewhere, the variable of the journal is still there, but it is not the journal.
systemd-run --quiet --wait --collect --property=Type=oneshot sh -c \
  'mprun check /etc/mprun/bad.toml 2>/box/said || true; mprun run /etc/mprun/bad.toml 2>>/box/said || true'
if grep -q '^<' said; then fail 'levels in a file'; fi
grep -q '^error: ' said || fail 'nothing was said'

# What a worker says last has a unit too, though the worker is gone a moment later. It waits for the journal 100 ms at
# most, and a signal ends it at once, so one in 400 may miss it; of workers that don't wait at all, one in 70 does.
cat >/etc/mprun/dying.toml <<'END'
[stages.tick]
use = "tick"
with = { every = "10ms" }
output = "q"
[stages.dying]
use = "file"
with = { path = "/proc/none/file" }
input = "q"
processes = 4
backoff = { initial = "10ms", max = "20ms" }
give_up = { restarts = 1000, within = "1s" }
END
systemctl start --no-block mprun@dying
last_words() { entries MPRUN_STAGE=dying -o cat "$@" | grep -c "^dying.[0-3]. can't open" || true; }
many() { [ "$(last_words)" -ge 1000 ]; }
until_true many
systemctl stop mprun@dying
said=$(last_words) known=$(last_words -u mprun@dying)
[ $(((said - known) * 400)) -le "$said" ] || fail "$said last words, and $known of them with a unit"
