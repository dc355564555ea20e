//! Sizes: files, functions, parameter lists, crate roots. Attributes and doc comments of a function do
//! not count, its signature does.

use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{Block, FnArg, ImplItemFn, ItemFn, Signature, TraitItemFn};

use crate::finding::{Finding, assert_accepts, assert_catches, assert_tidy};
use crate::source::Source;

const FILE_LINES_MAX: usize = 500;
const CRATE_ROOT_LINES_MAX: usize = 80;
const FUNCTION_LINES_MAX: usize = 70;
/// Besides `self`.
const PARAMETERS_MAX: usize = 5;

fn files_are_short(source: &Source) -> Vec<Finding> {
    let is_crate_root = source.path.ends_with("src/lib.rs");
    let max = if is_crate_root {
        CRATE_ROOT_LINES_MAX
    } else {
        FILE_LINES_MAX
    };
    let lines = source.text.lines().count();
    let problem = format!("{lines} lines, at most {max}: split it by concept");
    (lines > max)
        .then(|| Finding::new(&source.path, problem))
        .into_iter()
        .collect()
}

fn functions_are_short(source: &Source) -> Vec<Finding> {
    let file = match syn::parse_file(&source.text) {
        Ok(file) => file,
        Err(error) => {
            return vec![Finding::new(
                &source.path,
                format!("cannot be parsed: {error}"),
            )];
        }
    };
    let mut functions = Functions {
        source,
        findings: Vec::new(),
    };
    functions.visit_file(&file);
    functions.findings
}

struct Functions<'a> {
    source: &'a Source,
    findings: Vec<Finding>,
}

impl Functions<'_> {
    fn check(&mut self, signature: &Signature, body: Option<&Block>) {
        let (name, first) = (&signature.ident, signature.span().start().line);
        let last = body.map_or(first, |body| body.span().end().line);
        let lines = last - first + 1;
        if lines > FUNCTION_LINES_MAX {
            let problem = format!("`{name}` has {lines} lines, at most {FUNCTION_LINES_MAX}");
            self.findings.push(Finding::at(self.source, first, problem));
        }
        let is_typed = |input: &&FnArg| matches!(input, FnArg::Typed(_));
        let parameters = signature.inputs.iter().filter(is_typed).count();
        if parameters > PARAMETERS_MAX {
            let problem = format!("`{name}` has {parameters} parameters, at most {PARAMETERS_MAX}");
            self.findings.push(Finding::at(self.source, first, problem));
        }
    }
}

impl<'ast> Visit<'ast> for Functions<'_> {
    fn visit_item_fn(&mut self, item: &'ast ItemFn) {
        self.check(&item.sig, Some(&item.block));
        visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast ImplItemFn) {
        self.check(&item.sig, Some(&item.block));
        visit::visit_impl_item_fn(self, item);
    }

    fn visit_trait_item_fn(&mut self, item: &'ast TraitItemFn) {
        self.check(&item.sig, item.default.as_ref());
        visit::visit_trait_item_fn(self, item);
    }
}

#[test]
fn no_file_is_longer_than_its_reader_has_patience() {
    assert_tidy(
        &Source::all()
            .iter()
            .flat_map(files_are_short)
            .collect::<Vec<_>>(),
    );
}

#[test]
fn no_function_is_longer_than_a_screen_or_takes_too_much() {
    assert_tidy(
        &Source::all()
            .iter()
            .flat_map(functions_are_short)
            .collect::<Vec<_>>(),
    );
}

#[test]
fn a_long_file_is_caught() {
    assert_catches(
        files_are_short,
        "broker/x/src/a.rs",
        &"//\n".repeat(501),
        "501 lines",
    );
    assert_catches(
        files_are_short,
        "broker/x/src/lib.rs",
        &"//\n".repeat(81),
        "81 lines",
    );
    assert_accepts(files_are_short, "broker/x/src/a.rs", &"//\n".repeat(500));
}

#[test]
fn a_long_function_is_caught_wherever_it_stands() {
    let body = "\n".repeat(69);
    for around in [
        "fn f() {BODY}",
        "impl A { fn f(&self) {BODY} }",
        "trait A { fn f() {BODY} }",
        "fn g() { fn f() {BODY} }",
    ] {
        let text = around.replace("BODY", &format!("{body}\n"));
        assert_catches(functions_are_short, "a.rs", &text, "`f` has 71 lines");
    }
    assert_accepts(functions_are_short, "a.rs", &format!("fn f() {{{body}}}"));
}

#[test]
fn a_long_parameter_list_is_caught_and_self_does_not_count() {
    let text = "fn f(a: A, b: A, c: A, d: A, e: A, f: A) {}";
    assert_catches(functions_are_short, "a.rs", text, "`f` has 6 parameters");
    let method = "impl A { fn f(&self, a: A, b: A, c: A, d: A, e: A) {} }";
    assert_accepts(functions_are_short, "a.rs", method);
}

#[test]
fn a_file_that_is_not_rust_is_caught() {
    assert_catches(functions_are_short, "a.rs", "fn fn", "cannot be parsed");
}
