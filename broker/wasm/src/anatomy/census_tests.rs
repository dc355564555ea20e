//! Modules with too much of one thing, which would compile for long or into much, and the shipped ones, which are
//! far from it.

use wasm_encoder::{
    CodeSection, ElementSection, Elements, Function, FunctionSection, GlobalSection, GlobalType,
    Module, RefType, TableSection, TableType, TypeSection, ValType,
};

use super::*;

/// A module of functions with such bodies.
fn functions(bodies: impl Iterator<Item = Function>) -> Vec<u8> {
    let mut types = TypeSection::new();
    types.ty().function([], []);
    let (mut functions, mut code) = (FunctionSection::new(), CodeSection::new());
    for mut body in bodies {
        body.instructions().end();
        functions.function(0);
        code.function(&body);
    }
    let mut module = Module::new();
    module.section(&types).section(&functions).section(&code);
    module.finish()
}

fn looping(loops: u64) -> Function {
    let mut body = Function::new([]);
    for _ in 0..loops {
        let mut instructions = body.instructions();
        instructions.loop_(wasm_encoder::BlockType::Empty).end();
    }
    body
}

fn idle(bytes: u64) -> Function {
    let mut body = Function::new([]);
    for _ in 0..bytes {
        body.instructions().nop();
    }
    body
}

fn number(max: u64) -> usize {
    usize::try_from(max).expect("it fits")
}

#[track_caller]
fn refused(module: &[u8], of: &str, limit: u64) {
    match Census::check(module) {
        Err(LoadError::TooMany { what, count, max }) => {
            assert_eq!((what, max), (of, limit));
            assert!(count > max);
        }
        other => panic!("{of}: {other:?}"),
    }
}

#[test]
fn what_is_at_its_limit_is_taken_and_one_more_is_refused_by_name() {
    let max = PLUGIN_MODULE_FUNCTIONS_MAX;
    let many = |count: u64| functions((0..count).map(|_| Function::new([])));
    assert_eq!(
        Census::check(&many(max)).expect("it is taken").functions,
        max
    );
    refused(&many(max + 1), "functions", max);

    let max = PLUGIN_MODULE_FUNCTION_BYTES_MAX;
    // The number of its locals and its end are two bytes.
    let long = |bytes: u64| functions([idle(bytes - 2)].into_iter());
    assert_eq!(
        Census::check(&long(max)).expect("it is taken").code_bytes,
        max
    );
    refused(&long(max + 1), "bytes of code in one function", max);

    let (of_each, max) = (max, PLUGIN_MODULE_CODE_BYTES_MAX);
    let full = (0..max / of_each).map(|_| idle(of_each - 2));
    assert!(Census::check(&functions(full.clone())).is_ok());
    refused(&functions(full.chain([idle(0)])), "bytes of code", max);

    let max = PLUGIN_MODULE_FUNCTION_LOCALS_MAX;
    let with = |locals: u64| {
        let locals = u32::try_from(locals).expect("it fits");
        functions([Function::new([(locals, ValType::I32)])].into_iter())
    };
    assert!(Census::check(&with(max)).is_ok());
    refused(&with(max + 1), "locals in one function", max);

    let max = PLUGIN_MODULE_FUNCTION_LOOPS_MAX;
    assert!(Census::check(&functions([looping(max)].into_iter())).is_ok());
    let over = functions([looping(max + 1)].into_iter());
    refused(&over, "loops in one function", max);

    let max = PLUGIN_MODULE_LOOPS_MAX;
    let most = (0..max / 100).map(|_| looping(100));
    assert!(Census::check(&functions(most.clone())).is_ok());
    refused(&functions(most.chain([looping(1)])), "loops", max);
}

#[test]
fn tables_and_their_contents_and_what_else_is_defined_have_limits_too() {
    let max = PLUGIN_MODULE_ELEMENTS_MAX;
    let with_table = |minimum: u64, elements: u64| {
        let mut tables = TableSection::new();
        tables.table(TableType {
            element_type: RefType::FUNCREF,
            table64: false,
            minimum,
            maximum: None,
            shared: false,
        });
        let all = vec![0; number(elements)];
        let mut segments = ElementSection::new();
        segments.passive(Elements::Functions(all.into()));
        let mut module = Module::new();
        module.section(&tables).section(&segments);
        module.finish()
    };
    assert!(Census::check(&with_table(1, max - 1)).is_ok());
    refused(&with_table(1, max), "elements of tables", max);
    refused(&with_table(max + 1, 0), "elements of tables", max);
    refused(
        &with_table(u64::from(u32::MAX), max),
        "elements of tables",
        max,
    );

    let max = PLUGIN_MODULE_DEFINITIONS_MAX;
    let with_globals = |count: u64| {
        let mut globals = GlobalSection::new();
        for _ in 0..count {
            let of = GlobalType {
                val_type: ValType::I32,
                mutable: false,
                shared: false,
            };
            globals.global(of, &wasm_encoder::ConstExpr::i32_const(0));
        }
        let mut module = Module::new();
        module.section(&globals);
        module.finish()
    };
    assert!(Census::check(&with_globals(max)).is_ok());
    let what = "types, imports, exports, globals, tables and pieces of data";
    refused(&with_globals(max + 1), what, max);
}

#[test]
fn shipped_modules_have_less_than_a_third_of_what_they_may() {
    for shipped in broker_plugin_bundle::modules() {
        let census = Census::check(shipped.bytes).expect("it is taken");
        for (what, count, max) in census.counts() {
            assert!(count * 3 < max, "{}: {count} {what}", shipped.name);
        }
    }
}
