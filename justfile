# `just` lists these recipes; CONTRIBUTING.md tells when to use which.

_default:
    @just --list

# The tests of a minute: all but those that take longer, which it names.
test *ARGS:
    tests/quick {{ARGS}}

# Every test, as root also as an ordinary user.
test-all *ARGS:
    tests/run {{ARGS}}

# What must hold before a change lands, exactly as the continuous integration runs it.
ci:
    .ci/run

# Format, then the lints that `.ci/run` holds as errors.
lint:
    cargo fmt --all
    cargo clippy --locked --all-targets --all-features -- -D warnings

# Writes the golden files and the generated parts of docs/ anew; look at the difference before you commit it.
golden *ARGS:
    UPDATE_GOLDEN=1 cargo test --locked {{ARGS}}

# The docs as a site, in target/book; `cargo install mdbook` for it.
book:
    mdbook build

# Draws docs/pictures anew, from a run; look at them before you commit them.
pictures:
    UPDATE_PICTURES=1 cargo test --locked --test pictures

# The packages, each tried in a fresh folder or box: deb, archive, wheel, crate.
package *ARGS:
    dist/package {{ARGS}}

# The queue beside its peers; benches/README.md says what a row means.
bench *PARTS:
    benches/queue.sh {{PARTS}}
