//! Keys such as `a.a.a…`, a million deep, would overflow the stack when the tree is walked or dropped
//! (the parser bounds the nesting of lists and tables, but not of dotted keys): refused before parsing.

use std::sync::Arc;

use toml_parser::lexer::{Token, TokenKind};

use crate::config::diagnostic::{Diagnostic, Source, Span};

/// The deepest key that a pipeline file can use has five parts.
const MAX_KEY_PARTS: usize = 16;

/// A fault if some dotted key has more parts than any sane one.
pub(super) fn check(source: &Arc<Source>) -> Result<(), Diagnostic> {
    let mut dots = 0;
    for token in toml_parser::Source::new(&source.text).lex() {
        dots = match token.kind() {
            TokenKind::Dot => dots + 1,
            kind if belongs_to_a_key(kind) => dots,
            _ => 0,
        };
        if dots > MAX_KEY_PARTS {
            return Err(too_deep(source, &token));
        }
    }
    Ok(())
}

fn belongs_to_a_key(kind: TokenKind) -> bool {
    use TokenKind::{Atom, BasicString, LiteralString, Whitespace};
    matches!(kind, Atom | BasicString | LiteralString | Whitespace)
}

fn too_deep(source: &Arc<Source>, token: &Token) -> Diagnostic {
    let span = token.span().start()..token.span().end();
    Diagnostic::error(format!("a key with more than {MAX_KEY_PARTS} parts")).at(&Span::new(source, span))
}
