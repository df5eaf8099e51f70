# The Debian package: it installs, brings all that it should, and its service starts.
set -euo pipefail
fail() { echo "FAILED: $*" >&2; journalctl --no-pager -n 40 >&2 || true; exit 1; }
trap 'fail "line $LINENO: $BASH_COMMAND"' ERR

dpkg --install mprun_*.deb >said 2>&1 || fail "$(cat said)"
for path in /usr/bin/mprun /usr/lib/systemd/system/mprun@.service /usr/share/man/man1/mprun.1.gz \
  /usr/share/man/man1/mprun-run.1.gz /usr/share/bash-completion/completions/mprun /usr/share/zsh/vendor-completions/_mprun \
  /usr/share/fish/vendor_completions.d/mprun.fish /usr/share/mprun/pipelines/word_count.toml \
  /usr/share/doc/mprun/README.md /usr/share/doc/mprun/copyright /usr/lib/python3/dist-packages/mprun/__init__.py; do
  dpkg --listfiles mprun | grep -qx "$path" || fail "$path is not in the package"
  [ -e "$path" ] || grep -q "path-exclude" -r /etc/dpkg/dpkg.cfg.d || fail "$path was not installed"
done
mprun check /usr/share/mprun/pipelines/*.toml >/dev/null
systemd-analyze verify mprun@even_consumer.service >said 2>&1 || fail "$(cat said)"
[ ! -s said ] || fail "$(cat said)"

cp /usr/share/mprun/pipelines/even_consumer.toml /etc/mprun/
systemctl enable --now mprun@even_consumer 2>/dev/null
[ "$(systemctl show --value -p ActiveState mprun@even_consumer)" = active ] || fail 'it does not run'
[[ $(systemctl show --value -p StatusText mprun@even_consumer) == '2 stages, 3 workers'* ]] || fail 'it is not up'
systemctl stop mprun@even_consumer
[ "$(systemctl show --value -p Result mprun@even_consumer)" = success ] || fail 'no good end'
dpkg --purge mprun >/dev/null 2>&1
[ ! -e /usr/bin/mprun ] || fail 'it is still there'
