# The image without an engine: what dist/Dockerfile says of its last stage is done in the box, in that order. Its program runs as
# process 1 and as its user, is found healthy, and drains at its signal.
. ./prelude.sh

said() { sed -n '/^FROM debian/,$p' Dockerfile | sed -n "s/^$1 //p"; } # INSTRUCTION
while read -r command; do bash -c "$command"; done < <(said RUN)
user=$(said USER)
volume=$(said VOLUME)
[ "$(stat -c %U "$volume")" = "$user" ] || fail "$volume is not $user's"
entry=$(said ENTRYPOINT | tr -d '[]",')
health=$(said HEALTHCHECK | sed 's/.*CMD //')
# An engine hands on what the image says, and nothing of the machine.
as_user=(env --ignore-environment "PATH=$PATH" "$(said ENV)" setpriv --reuid "$user" --regid "$user" --init-groups)

pipeline pass
# shellcheck disable=SC2086
unshare --pid --fork --mount-proc --kill-child -- "${as_user[@]}" $entry /etc/mprun/pass.toml >out 2>log &
outer=$!
first() { pgrep --parent "$outer"; }
until_true first
supervisor=$(first)
healthy() { nsenter --target "$supervisor" --pid --mount -- "${as_user[@]}" bash -c "$health"; }
until_true healthy
[ "$(stat -c %U "/proc/$supervisor")" = "$user" ] || fail "it does not run as $user"
kill -s "$(said STOPSIGNAL)" "$supervisor"
wait "$outer" || fail "it ended with $?: $(cat log)"
grep -q 'stopped (SIGTERM)' log || fail "it did not drain: $(cat log)"
