# The units: systemd finds nothing to say about them, they are hardened, and install, show and uninstall do what they say.
. ./prelude.sh

silent() { local said; said=$(systemd-analyze verify "$@" 2>&1) || fail "verify: $said"; [ -z "$said" ] || fail "verify: $said"; }
pipeline demo
silent mprun@demo.service
systemctl start mprun@demo
exposure=$(systemd-analyze security --no-pager mprun@demo | sed -n 's/.*exposure level for .*: \([0-9.]*\) .*/\1/p')
awk "BEGIN { exit !($exposure <= 3.0) }" || fail "the exposure is $exposure"
echo "exposure of the template: $exposure"
user=$(ps -o user= -p "$(property mprun@demo MainPID)")
[ "$user" != root ] || fail 'it runs as root'
systemctl stop mprun@demo

# Install: runs at once, and is enabled; a second time changes nothing that matters.
mprun service install /etc/mprun/demo.toml >said
grep -q '^wrote /etc/systemd/system/mprun-demo.service$' said
expect mprun-demo ActiveState active
expect mprun-demo UnitFileState enabled
silent mprun-demo.service
mprun service install /etc/mprun/demo.toml >/dev/null
mprun service show /etc/mprun/demo.toml | cmp - /etc/systemd/system/mprun-demo.service
systemctl reload mprun-demo
mprun service uninstall /etc/mprun/demo.toml >/dev/null
[ ! -e /etc/systemd/system/mprun-demo.service ] || fail 'the unit is still there'
expect mprun-demo ActiveState inactive

# Under a name and a user of one's own, with a place to write to. Paths may hold anything.
mkdir -p '/srv/a b%i' /srv/out
pipeline 'demo'
mv /etc/mprun/demo.toml '/srv/a b%i/$x.toml'
mprun service install '/srv/a b%i/$x.toml' --name other --run-as root --writable /srv/out --no-start >/dev/null
silent mprun-other.service
expect mprun-other ActiveState inactive
systemctl start mprun-other
mprun service uninstall other >/dev/null

refused() { # CODE WORDS COMMAND...
  local code=0
  "${@:3}" >said 2>&1 || code=$?
  [ "$code" = "$1" ] || fail "${*:3}: exit code $code, not $1: $(cat said)"
  grep -q -- "$2" said || fail "${*:3}: no word of '$2': $(cat said)"
}
pipeline demo
refused 2 'has no key "x"' mprun service install <(echo 'x = 1')
mkdir -m 700 /srv/closed && cp /etc/mprun/demo.toml /srv/closed
refused 1 '/srv/closed is closed to others (mode 700).*--run-as' mprun service install /srv/closed/demo.toml
cp /etc/mprun/demo.toml /tmp/demo.toml
refused 1 'which has a /tmp of its own' mprun service install /tmp/demo.toml
refused 1 'sudo mprun service install' setpriv --reuid 65534 --clear-groups mprun service install /etc/mprun/demo.toml
echo '[Service]' >/etc/systemd/system/mprun-demo.service
refused 1 'was not written by mprun' mprun service install /etc/mprun/demo.toml
refused 1 'was not written by mprun' mprun service uninstall demo
refused 1 'no service "nix"' mprun service uninstall nix
refused 2 'is no name for a service' mprun service install /etc/mprun/demo.toml --name a/b
rm /etc/systemd/system/mprun-demo.service

# The template's unit of the same name or file: install names it; a start of the one ends the other, with its folders whole.
supervisors() { pgrep -c -f '^/usr/bin/mprun run' || true; }
systemctl start mprun@demo
refused 1 'mprun@demo.service is there already.*systemctl disable --now mprun@demo.service' mprun service install /etc/mprun/demo.toml
refused 1 'mprun@demo.service is there already' mprun service install --name other /etc/mprun/demo.toml
mprun status demo >/dev/null
systemctl stop mprun@demo
mprun service install /etc/mprun/demo.toml >/dev/null
refused 1 'mprun-demo.service runs /etc/mprun/demo.toml already' mprun service install --name other /etc/mprun/demo.toml
for unit in mprun@demo mprun-demo; do
  systemctl start "$unit"
  expect "$unit" ActiveState active
  [ "$(supervisors)" = 1 ] || fail "$(supervisors) supervisors run"
  mprun status demo >/dev/null || fail "$unit does not answer"
done
expect mprun@demo ActiveState inactive

# A service of another name, which `install` would refuse: it is told apart, by its own name, too.
sed 's,mprun/demo$,mprun/second,' /etc/systemd/system/mprun-demo.service >/etc/systemd/system/second.service
systemctl daemon-reload
systemctl start second
refused 2 'several pipelines run: say which' mprun status demo
grep -q 'demo (process [0-9]*, /etc/mprun/demo.toml): second$' said || fail "$(cat said)"
mprun status second >/dev/null
systemctl stop second
mprun status demo >/dev/null
mprun service uninstall demo >/dev/null
rm /etc/systemd/system/second.service
systemctl daemon-reload

# Dead letters of a service that has ended: root finds them by its file and by its name.
cat >/etc/mprun/dead.toml <<'END'
[stages.a]
use = "count"
with = { to = 3 }
output = "q"
[stages.b]
command = ["sh", "-c", "[ $$1 != 2 ] || exit 65", "x", "{}"]
mode = "each"
dead_codes = [65]
input = "q"
END
mprun service install /etc/mprun/dead.toml >/dev/null
until_true is mprun-dead ActiveState inactive
for what in /etc/mprun/dead.toml dead; do
  mprun dead list "$what" >said
  grep -q ' exit-code: 65' said || fail "$(cat said)"
  refused 1 'are of the service mprun-dead' mprun dead retry "$what" --all
done
owner=$(stat -L -c %u /var/lib/mprun/dead/dead/dead.jsonl)
[ "$(mprun dead drop dead --all)" = '1 dropped' ] || fail 'it can not be dropped'
[ "$(stat -L -c %u /var/lib/mprun/dead/dead/dead.jsonl)" = "$owner" ] || fail 'it has another owner'
mprun dead list /etc/mprun/dead.toml | grep -q 'no dead letters (looked in .*/var/lib/mprun/dead' || fail 'where it looked is not said'
mprun service uninstall dead >/dev/null

# A user's own manager.
useradd --create-home worker
cp /etc/mprun/demo.toml /home/worker/
cat >/etc/systemd/system/manager.service <<'END'
[Service]
Type=notify
User=worker
Delegate=yes
RuntimeDirectory=worker
Environment=XDG_RUNTIME_DIR=/run/worker
ExecStart=/lib/systemd/systemd --user
END
systemctl daemon-reload
systemctl start manager
as_worker() { setpriv --reuid worker --regid worker --init-groups env HOME=/home/worker XDG_RUNTIME_DIR=/run/worker "$@"; }
as_worker mprun service install --user /home/worker/demo.toml >said || fail "$(journalctl --no-pager | tail -n 30)"
grep -q '^wrote /home/worker/.config/systemd/user/mprun-demo.service$' said
[ "$(as_worker systemctl --user show --value -p StatusText mprun-demo | cut -d';' -f1)" = '3 stages, 4 workers' ] ||
  fail 'it is not up in the user manager'
as_worker systemd-analyze --user verify mprun-demo.service >said 2>&1 || fail "$(cat said)"
[ ! -s said ] || fail "$(cat said)"
as_worker mprun service uninstall --user demo >/dev/null
[ ! -e /home/worker/.config/systemd/user/mprun-demo.service ] || fail "the user's unit is still there"
