# As process 1 of a container: it reaps what stages leave behind, and SIGTERM drains.
. ./prelude.sh

cat >/etc/mprun/orphans.toml <<'END'
[stages.count]
use = "count"
with = { from = 1, to = 40 }
output = "q"
[stages.orphan]
command = ["sh", "-c", "(sleep 0.1 &) ; echo ok"]
mode = "each"
input = "q"
output = "out"
[stages.end]
use = "tick"
with = { every = "1s" }
output = "out"
[stages.show]
use = "format"
with = { template = "{item}" }
input = "out"
END
unshare --pid --fork --mount-proc --kill-child -- mprun run /etc/mprun/orphans.toml >out 2>log &
outer=$!
first() { pgrep --parent "$outer"; }
until_true first
supervisor=$(first)
[ "$(sed -n 's/^NSpid:.*\t//p' "/proc/$supervisor/status")" = 1 ] || fail 'it is not process 1'
until_true grep -qx ok out
through() { [ "$(grep -cx ok out)" = 40 ]; }
until_true through
no_zombies() { ! ps -o stat= --ppid "$supervisor" | grep -q '^Z'; }
until_true no_zombies
kill -TERM "$supervisor"
wait "$outer" || fail "it ended with $?: $(cat log)"
grep -q 'stopped (SIGTERM)' log || fail "it did not drain: $(cat log)"
