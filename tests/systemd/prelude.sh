# What every script of a box begins with: mprun in its place, and words for what must hold.
set -euo pipefail

fail() {
  echo "FAILED: $*" >&2
  systemctl --no-pager --failed >&2 || true
  journalctl --no-pager --lines=60 >&2 || true
  exit 1
}
trap 'fail "line $LINENO: $BASH_COMMAND"' ERR

# Waits for a condition, not for a time.
until_true() { # COMMAND...
  local try
  for try in {1..600}; do
    if "$@" >/dev/null 2>&1; then return 0; fi
    sleep 0.05
  done
  fail "waited in vain for: $*"
}

property() { systemctl show --value --property "$2" "$1"; }
is() { # UNIT PROPERTY PATTERN
  # shellcheck disable=SC2053
  [[ $(property "$1" "$2") == $3 ]]
}
expect() { is "$@" || fail "$1: $2 is '$(property "$1" "$2")', not '$3'"; }
entries() { journalctl --sync && journalctl --no-pager --quiet "$@"; }

install -m 755 mprun /usr/bin/mprun
mkdir -p /etc/mprun
if [ -e mprun@.service ]; then cp mprun@.service /lib/systemd/system/; fi
systemctl daemon-reload

pipeline() { # NAME [EXTRA]: ticks into workers that answer
  cat >"/etc/mprun/$1.toml" <<END
${2-}
[stages.tick]
use = "tick"
with = { every = "50ms" }
output = "ticks"
[stages.pass]
command = ["cat"]
mode = "reply"
input = "ticks"
output = "passed"
processes = 2
[stages.end]
use = "discard"
input = "passed"
END
}
