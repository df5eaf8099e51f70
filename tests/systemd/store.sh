# The queues are in the descriptor store: kills, restarts, watchdog aborts and an upgraded binary lose no item and
# double none. The ledger and the sum tell. `rounds` beside this script: how many deaths, if more than a few.
. ./prelude.sh
unit=mprun@store
rounds=8
if [ -e rounds ]; then rounds=$(<rounds); fi
last=$((rounds * 9000))

cat >/etc/mprun/store.toml <<END
[defaults]
attempts = 200
[queues.a]
capacity = 200
[stages.number]
use = "count"
with = { from = 1, to = $last }
output = "a"
[stages.pass]
use = "format"
with = { template = "{item}" }
input = "a"
output = "b"
sleep = "300us"
processes = 2
[stages.total]
use = "sum"
input = "b"
END
mkdir -p "/etc/systemd/system/$unit.service.d"
printf '[Unit]\nStartLimitIntervalSec=0\n[Service]\nRestart=on-failure\nRestartSec=20ms\nWatchdogSec=2s\n' \
  >"/etc/systemd/system/$unit.service.d/test.conf"
systemctl daemon-reload

is_up() { is "$unit" SubState running && [[ $(property "$unit" MainPID) != "${1-}" ]]; }
systemctl start "$unit"
expect "$unit" NFileDescriptorStore 1
for ((round = 1; round <= rounds; round++)); do
  until_true is_up
  sleep "0.$((RANDOM % 3))$((RANDOM % 10))"
  pid=$(property "$unit" MainPID)
  case $((round % 5)) in
  0) systemctl restart "$unit" ;;
  1) systemctl kill --signal=KILL --kill-whom=main "$unit" ;;
  2) systemctl kill --signal=KILL "$unit" ;;                # all of it
  3) kill -STOP "$pid" ;;                                   # it hangs: the watchdog aborts it
  4) cp mprun new && mv new /usr/bin/mprun && systemctl restart "$unit" ;; # another binary
  esac
  until_true is_up "$pid"
done

# What is left takes as long as it takes; whoever has started this script has a limit.
until is "$unit" ActiveState inactive; do sleep 0.1; done
expect "$unit" Result success
expect "$unit" NFileDescriptorStore 0
entries -u "$unit" -o cat >log
[ "$(grep -c 'continues where an earlier run stopped' log)" -ge "$rounds" ] || fail 'a run began anew'
for queue in a b; do
  grep -q "queue $queue: $last put, $last done\$" log || fail "queue $queue: $(grep "queue $queue:" log | tail -1)"
done
grep -qx "$((last * (last + 1) / 2))" log || fail "the sum is not $((last * (last + 1) / 2)): $(tail log)"

# Done: the next start is a new run.
systemctl start "$unit"
until_true is_up
expect "$unit" NFileDescriptorStore 1
systemctl stop "$unit"
