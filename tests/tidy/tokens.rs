//! The tokens of a file in one flat list with their lines, macro bodies included and test code left
//! out. Rules about calls look at tokens, so that nothing hides inside a macro and nothing in a comment
//! or a string is taken for code.

use std::str::FromStr;

use proc_macro2::{Delimiter, TokenStream, TokenTree};

use crate::source::Source;

/// An identifier, a punctuation character, or the opening or closing of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) text: String,
    pub(crate) line: usize,
}

/// Every token of a file but those of items under `#[cfg(test)]` or `#[test]`.
pub(crate) fn code_tokens(source: &Source) -> Vec<Token> {
    let mut out = Vec::new();
    flatten(parse(source), &mut out, TestItems::LeftOut);
    out
}

/// Every token of a file.
pub(crate) fn all_tokens(source: &Source) -> Vec<Token> {
    let mut out = Vec::new();
    flatten(parse(source), &mut out, TestItems::Kept);
    out
}

/// The lines on which this sequence of tokens begins.
pub(crate) fn lines_of(tokens: &[Token], wanted: &[&str]) -> Vec<usize> {
    let matches = |window: &&[Token]| {
        window
            .iter()
            .zip(wanted)
            .all(|(token, text)| token.text == *text)
    };
    tokens
        .windows(wanted.len())
        .filter(matches)
        .map(|window| window[0].line)
        .collect()
}

/// The lines on which a path such as `std::fs` is named, in full or inside the braces of a `use`.
pub(crate) fn lines_of_path(tokens: &[Token], first: &str, second: &str) -> Vec<usize> {
    let mut lines = lines_of(tokens, &[first, ":", ":", second]);
    for (at, window) in tokens.windows(4).enumerate() {
        let opens = [first, ":", ":", "{"]
            .iter()
            .zip(window)
            .all(|(text, token)| token.text == *text);
        if opens {
            lines.extend(names_in_braces(&tokens[at + 4..], second));
        }
    }
    lines
}

/// Lines of a name that stands first in an element of a brace group whose inside starts here.
fn names_in_braces(inside: &[Token], name: &str) -> Vec<usize> {
    let (mut depth, mut lines, mut starts_element) = (1_u32, Vec::new(), true);
    for token in inside {
        match token.text.as_str() {
            "{" => depth += 1,
            "}" => depth -= 1,
            text if text == name && depth == 1 && starts_element => lines.push(token.line),
            _ => {}
        }
        if depth == 0 {
            break;
        }
        starts_element = depth == 1 && token.text == ",";
    }
    lines
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum TestItems {
    Kept,
    LeftOut,
}

fn parse(source: &Source) -> TokenStream {
    TokenStream::from_str(&source.text).unwrap_or_else(|error| panic!("{}: {error}", source.path))
}

fn flatten(stream: TokenStream, out: &mut Vec<Token>, tests: TestItems) {
    let mut trees = stream.into_iter().peekable();
    while let Some(tree) = trees.next() {
        if tests == TestItems::LeftOut
            && is_punct(&tree, '#')
            && trees.peek().is_some_and(is_test_attribute)
        {
            // The item ends with its body or at its semicolon, whichever comes first.
            trees
                .by_ref()
                .find(|tree| is_punct(tree, ';') || is_braces(tree));
            continue;
        }
        push(tree, out, tests);
    }
}

fn push(tree: TokenTree, out: &mut Vec<Token>, tests: TestItems) {
    let line = tree.span().start().line;
    match tree {
        TokenTree::Group(group) => {
            let (open, close) = match group.delimiter() {
                Delimiter::Parenthesis => ("(", ")"),
                Delimiter::Brace => ("{", "}"),
                Delimiter::Bracket => ("[", "]"),
                Delimiter::None => ("", ""),
            };
            let close_line = group.span_close().start().line;
            out.push(Token {
                text: open.to_owned(),
                line,
            });
            flatten(group.stream(), out, tests);
            out.push(Token {
                text: close.to_owned(),
                line: close_line,
            });
        }
        // Literals never match a name, but keep their place in a sequence.
        TokenTree::Literal(_) => out.push(Token {
            text: "\"".to_owned(),
            line,
        }),
        other => out.push(Token {
            text: other.to_string(),
            line,
        }),
    }
}

fn is_punct(tree: &TokenTree, c: char) -> bool {
    matches!(tree, TokenTree::Punct(punct) if punct.as_char() == c)
}

fn is_braces(tree: &TokenTree) -> bool {
    matches!(tree, TokenTree::Group(group) if group.delimiter() == Delimiter::Brace)
}

/// `[test]`, `[tokio::test]`, `[cfg(test)]` and the like; not `[cfg(not(test))]`.
fn is_test_attribute(tree: &TokenTree) -> bool {
    let TokenTree::Group(group) = tree else {
        return false;
    };
    let text: String = group.stream().to_string().split_whitespace().collect();
    group.delimiter() == Delimiter::Bracket
        && (text == "test"
            || text.ends_with("::test")
            || text == "cfg(test)"
            || text.starts_with("cfg(all(test,"))
}

#[test]
fn test_items_are_left_out_and_macro_bodies_are_not() {
    let text = "fn a() { m!(x.b()); }\n#[cfg(test)]\nmod tests { fn c() {} }\n#[test]\nfn d() {}\n#[cfg(test)] use e;\nfn f() {}";
    let source = Source::sample("x.rs", text);
    let names = |tokens: Vec<Token>| {
        let names = tokens.into_iter().map(|token| token.text);
        names
            .filter(|text| text.len() == 1 && text.chars().all(char::is_alphabetic))
            .collect::<String>()
    };
    assert_eq!(names(code_tokens(&source)), "amxbf");
    assert_eq!(names(all_tokens(&source)), "amxbcdef");
}

#[test]
fn a_path_is_found_in_full_and_inside_a_use_group() {
    let lines = |text| lines_of_path(&code_tokens(&Source::sample("x.rs", text)), "std", "fs");
    assert_eq!(lines("use std::fs;"), [1]);
    assert_eq!(lines("\nfn a() { m!(std::fs::read(p)) }"), [2]);
    assert_eq!(lines("use std::{io, fs::{self, File}};"), [1]);
    assert_eq!(lines("use std::{io::{fs}, path};"), [] as [usize; 0]);
    assert_eq!(
        lines("// std::fs\nconst A: &str = \"std::fs\";"),
        [] as [usize; 0]
    );
}
