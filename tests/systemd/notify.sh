# What systemd is told, from the start to the end; the template unit does all of it.
. ./prelude.sh
unit=mprun@demo

# Root has run a pipeline by hand before any service came: /run/mprun is there, and services still find room in it.
[ ! -e /run/mprun ] || fail '/run/mprun is there already'
printf '[stages.once]\nuse = "count"\nwith = { from = 1, to = 3 }\n' >/etc/mprun/first.toml
env -u XDG_RUNTIME_DIR -u RUNTIME_DIRECTORY mprun run /etc/mprun/first.toml >/dev/null 2>&1
[ -d /run/mprun ] || fail 'root has no folder for sockets'

pipeline demo
systemctl start "$unit"
expect "$unit" ActiveState active
expect "$unit" StatusText '3 stages, 4 workers*'
workers=$(grep -c __worker < <(systemctl status --no-pager "$unit"))
[ "$workers" = 4 ] || fail "ready with $workers of 4 workers"
until_true is "$unit" StatusText '3 stages, 4 workers; ticks *[0-9]/s (*'
mprun status demo >/dev/null || fail 'its socket is not to be found'
mprun upgrade demo | grep -q 'took over from .*, with 4 workers as they were$' || fail 'no upgrade in place'
expect "$unit" ActiveState active

# A reload that was asked for; the second one is new.
systemctl reload "$unit"
until_true is "$unit" ActiveState active # it is reloading for a moment, after the command has come back
sed -i 's/processes = 2/processes = 5/' /etc/mprun/demo.toml
systemctl reload "$unit"
until_true is "$unit" StatusText '3 stages, 7 workers*'
until_true is "$unit" ActiveState active

# A bad file: `systemctl reload` says so, the reason is in the status, and all of it runs on.
echo 'speed = 5' >>/etc/mprun/demo.toml
if systemctl reload "$unit" 2>/dev/null; then fail 'a bad file was reloaded'; fi
until_true is "$unit" StatusText 'reload refused, the file is bad: *"speed"*still running: 3 stages, 7 workers*'
expect "$unit" ActiveState active
# Also when the signal gets through to it.
systemctl kill --signal=HUP --kill-whom=main "$unit"
until_true is "$unit" SubState running
sed -i '/speed/d' /etc/mprun/demo.toml
systemctl reload "$unit"
until_true is "$unit" StatusText '3 stages, 7 workers*'

# A stop drains, and is a good end.
systemctl stop "$unit"
expect "$unit" Result success
expect "$unit" ExecMainStatus 0
entries -u "$unit" | grep -q 'queue passed: .* done$' || fail 'something was left in a queue'

# A file that is bad from the start ends with 2 and is not started again.
echo 'bad = 1' >/etc/mprun/bad.toml
if systemctl start mprun@bad 2>/dev/null; then fail 'a bad file was started'; fi
expect mprun@bad ExecMainStatus 2
expect mprun@bad StatusText 'error: *"bad"*'
expect mprun@bad ActiveState failed
expect mprun@bad NRestarts 0

# A run that ends by itself is a good end, before anybody could call it late.
printf '[stages.once]\nuse = "count"\nwith = { from = 1, to = 3 }\n' >/etc/mprun/once.toml
systemctl start mprun@once
until_true is mprun@once ActiveState inactive
expect mprun@once Result success

# A stage that gives up is a failure: systemd starts it again.
printf '[stages.broken]\ncommand = ["false"]\nmode = "stream"\nrestart = "never"\n' >/etc/mprun/broken.toml
systemctl start mprun@broken 2>/dev/null || true
until_true is mprun@broken NRestarts '[1-9]*'
systemctl stop mprun@broken
