# Time: the watchdog, stops that take longer than allowed, and whom systemd must watch.
. ./prelude.sh

unit() { # NAME LINE...
  { printf '[Service]\nType=notify\nKillMode=mixed\n'; printf '%s\n' "${@:2}"; } >"/etc/systemd/system/$1.service"
  systemctl daemon-reload
}

# A pipeline whose every item takes far longer than the watchdog lives on; a supervisor that hangs does not.
cat >/etc/mprun/slow.toml <<'END'
[stages.tick]
use = "tick"
with = { every = "10ms" }
output = "ticks"
[stages.slow]
command = ["sleep"]
mode = "each"
input = "ticks"
processes = 2
END
sed -i 's/\["sleep"\]/["sh", "-c", "sleep 8"]/' /etc/mprun/slow.toml
unit slow 'ExecStart=/usr/bin/mprun run /etc/mprun/slow.toml' WatchdogSec=1 Restart=on-failure RestartSec=0 TimeoutAbortSec=1
systemctl start slow
first=$(property slow MainPID)
sleep 3 # three times as long as a hung supervisor would live
[ "$(property slow MainPID)" = "$first" ] || fail 'a slow pipeline was taken for a hung one'
kill -STOP "$first"
until_true is slow NRestarts 1
until_true is slow ActiveState active
entries -u slow | grep -q 'Watchdog timeout' || fail 'it was not the watchdog'
if kill -0 "$first" 2>/dev/null; then fail 'the hung supervisor is still there'; fi
systemctl kill --signal=KILL slow
systemctl stop slow

# Draining takes 8 seconds, a stop may take 1: more time is asked for, so nothing is killed.
cat >/etc/mprun/drain.toml <<'END'
drain_timeout = "1m"
[stages.count]
use = "count"
with = { from = 1, to = 2 }
output = "q"
[stages.slow]
command = ["sh", "-c", "sleep 4; echo done"]
mode = "each"
input = "q"
END
unit drain 'ExecStart=/usr/bin/mprun run /etc/mprun/drain.toml' TimeoutStopSec=1
systemctl start drain
until_true pgrep -f 'sleep 4'
systemctl stop drain
expect drain Result success
entries -u drain -o cat | grep -q 'queue q: 2 put, 2 done$' || fail 'the drain was cut short'

# Behind a shell systemd learns whom to signal. (It waits for a process that it hasn't started itself only when it
# signals the whole group; a script had better `exec mprun`.)
pipeline shell
unit shell "ExecStart=/bin/sh -c '/usr/bin/mprun run /etc/mprun/shell.toml; exit 1'" NotifyAccess=all \
  'ExecReload=/bin/kill -HUP $MAINPID' KillMode=control-group
systemctl start shell
[ "$(cat "/proc/$(property shell MainPID)/comm")" = mprun ] || fail 'the main process is the shell'
systemctl reload shell
said_so() { entries -u shell -o cat | grep -q 'nothing to do$'; }
until_true said_so
systemctl stop shell
entries -u shell -o cat | grep -q 'shell: stopped (SIGTERM)' || fail 'the signal did not reach mprun'

# Nobody else can be ready in its name: programs of stages don't know the socket.
cat >/etc/mprun/env.toml <<'END'
[stages.env]
command = ["env"]
mode = "stream"
output = "q"
[stages.show]
use = "format"
with = { template = "{item}" }
input = "q"
END
unit env 'ExecStart=/usr/bin/mprun run /etc/mprun/env.toml' NotifyAccess=all WatchdogSec=60
systemctl start env
until_true is env ActiveState inactive
if entries -u env -o cat | grep -E '^(NOTIFY_SOCKET|WATCHDOG_|LISTEN_)'; then fail 'a stage can speak to systemd'; fi
entries -u env -o cat | grep -q '^INVOCATION_ID=' || fail 'the environment of the unit is not there'
