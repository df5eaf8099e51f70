# Ten services with checks: systemd hears that they are up once all are ready, and of nothing that goes wrong after that.
. ./prelude.sh
unit=mprun@ten

install -m 644 ten_services.toml /etc/mprun/ten.toml
systemctl start "$unit" || fail 'it did not start'
until_true is "$unit" StatusText '10 services, 11 processes*'
[ "$(mprun status ten | grep -cE ' (ready|healthy|running) ')" = 10 ] || fail "up, but not all: $(mprun status ten)"

main() { pgrep --parent "$(property "$unit" MainPID)" -f "$1"; }
well() { mprun status ten --check && mprun status ten | grep -E "^$1 .* $2 "; }
said() { entries -u "$unit" -o cat | grep -q -- "$1"; }

# Hung, sick, and the helper that looks at them killed.
kill -STOP "$(main 'http.server')"
kill -KILL "$(main '__check')"
until_true said 'db\[0\] failed after .*: it was unhealthy, 3 checks in a row failed: http://127.0.0.1:18480/'
touch /etc/mprun/sick-web
until_true said 'web\[0\] failed after .*: it was unhealthy'
rm /etc/mprun/sick-web
until_true well db healthy
until_true well web healthy
expect "$unit" ActiveState active
expect "$unit" NRestarts 0

# A gigabyte of standard error.
until_true said 'lines are left out of the log: it writes too fast'
mprun status ten --check || fail 'it is not well beside the noise'

systemctl stop "$unit"
expect "$unit" Result success
expect "$unit" ExecMainStatus 0
[ -z "$(pgrep -f 'sleep 100000')" ] || fail 'services are left'

# One that is never ready is never up for systemd.
printf '[stages.db]\ncommand = "exec sleep 1000"\nready = { notify = true, timeout = "500ms" }\ngive_up = { restarts = 1, within = "1h" }\n' \
  >/etc/mprun/never.toml
if systemctl start mprun@never 2>/dev/null; then fail 'it is up, but not ready'; fi
entries -u mprun@never -o cat | grep -q 'db\[0\] failed after .*: it was not ready within 500ms' || fail 'no reason is told'
systemctl stop mprun@never
