//! Modules that are no plugins, or not for this broker: each is refused with a message that says what
//! it is and what to do.

use broker_wasm::{Inspection, LoadError, PluginKind};
use wasm_encoder::{
    CodeSection, EntityType, ExportKind, ExportSection, Function, FunctionSection, ImportSection,
    Module, TypeSection,
};

use crate::harness::{engine, hostile_bytes, replaced, shipped_module};

fn load(module: &[u8]) -> Result<PluginKind, LoadError> {
    engine().load(module).map(|module| module.kind())
}

/// A valid core module that imports and exports functions of those names.
fn module(imports: &[(&str, &str)], exports: &[&str]) -> Vec<u8> {
    let mut module = Module::new();
    let mut types = TypeSection::new();
    types.ty().function([], []);
    module.section(&types);
    let mut import_section = ImportSection::new();
    for (interface, name) in imports {
        import_section.import(interface, name, EntityType::Function(0));
    }
    module.section(&import_section);
    let mut functions = FunctionSection::new();
    functions.function(0);
    module.section(&functions);
    let defined = u32::try_from(imports.len()).unwrap();
    let mut export_section = ExportSection::new();
    for name in exports {
        export_section.export(name, ExportKind::Func, defined);
    }
    module.section(&export_section);
    let mut code = CodeSection::new();
    let mut body = Function::new([]);
    body.instructions().end();
    code.function(&body);
    module.section(&code);
    module.finish()
}

/// The exports of a partitioner.
const PARTITIONER: [&str; 3] = [
    "broker:plugin/partitioner@0.1.0#[constructor]partitioner",
    "broker:plugin/partitioner@0.1.0#[method]partitioner.needs",
    "broker:plugin/partitioner@0.1.0#[method]partitioner.assign",
];

#[test]
fn bytes_that_are_not_webassembly_are_refused() {
    assert_eq!(load(b""), Err(LoadError::NotWasm));
    assert_eq!(load(b"#!/bin/sh\n"), Err(LoadError::NotWasm));
    assert!(matches!(
        load(b"\0asm\x01\0\0\0\xff\xff\xff"),
        Err(LoadError::Malformed { .. })
    ));
    assert_eq!(load(b"\0asm\x0d\0\x01\0"), Err(LoadError::IsComponent));
    assert_eq!(load(b"\0asm\x01\0\0\0"), Err(LoadError::NoPlugin));
}

#[test]
fn a_module_that_is_too_large_is_refused_unread() {
    let huge = vec![0; 16 * 1024 * 1024 + 1];
    assert_eq!(
        load(&huge),
        Err(LoadError::TooLarge {
            bytes: huge.len() as u64
        })
    );
}

#[test]
fn an_import_that_plugins_do_not_have_is_named() {
    let wasi = module(&[("wasi_snapshot_preview1", "random_get")], &PARTITIONER);
    let import = "wasi_snapshot_preview1#random_get".to_owned();
    assert_eq!(
        load(&wasi),
        Err(LoadError::UnknownImport {
            import: import.clone()
        })
    );
    let error = load(&wasi).unwrap_err().to_string();
    assert!(
        error.contains(&import) && error.contains("no WASI"),
        "{error}"
    );
    let other = module(&[("broker:plugin/log@0.1.0", "read")], &PARTITIONER);
    assert!(matches!(load(&other), Err(LoadError::UnknownImport { .. })));
}

#[test]
fn a_missing_export_is_named() {
    let without_assign = module(&[], &PARTITIONER[..2]);
    let (kind, export) = (PluginKind::Partitioner, PARTITIONER[2].to_owned());
    assert_eq!(
        load(&without_assign),
        Err(LoadError::MissingExport { kind, export })
    );
    assert_eq!(
        load(&module(&[], &["run", "_start"])),
        Err(LoadError::NoPlugin)
    );
}

#[test]
fn an_incomplete_kind_and_several_kinds_are_named() {
    let serializer = "broker:plugin/serializer@0.1.0#[constructor]serializer";
    let kind = PluginKind::Serializer;
    assert_eq!(
        load(&module(&[], &[serializer])),
        Err(LoadError::MissingExport {
            kind,
            export: "broker:plugin/serializer@0.1.0#[method]serializer.serialize".to_owned()
        })
    );
    let both = module(
        &[],
        &[serializer, PARTITIONER[0], PARTITIONER[1], PARTITIONER[2]],
    );
    let kinds = vec![PluginKind::Partitioner, PluginKind::Serializer];
    assert_eq!(load(&both), Err(LoadError::SeveralKinds { kinds }));
}

#[test]
fn a_module_for_another_version_of_the_interface_is_refused() {
    for kind in PluginKind::ALL {
        let later = replaced(&hostile_bytes(kind), "@0.1.0", "@0.2.0");
        let error = load(&later).unwrap_err();
        let found = "0.2.0".to_owned();
        assert_eq!(error, LoadError::OtherAbi { found });
        assert_eq!(
            error.to_string(),
            "the module was built for version 0.2.0 of broker:plugin, this broker runs 0.1.0; build it again with the plugin-sdk of this broker"
        );
    }
}

#[test]
fn functions_of_another_type_are_refused() {
    // Right names, and nothing that says what the functions take.
    assert!(matches!(
        load(&module(&[], &PARTITIONER)),
        Err(LoadError::Interface { .. })
    ));
    // Built from a WIT in which a field has another name.
    for (kind, from, to) in [
        (PluginKind::Partitioner, "sequence", "sequenze"),
        (PluginKind::Serializer, "message", "mezzage"),
        (PluginKind::Retention, "log-bytes", "log-bites"),
        (PluginKind::Compaction, "memory-bytes", "memory-bites"),
    ] {
        let renamed = load(&replaced(&hostile_bytes(kind), from, to)).unwrap_err();
        assert!(matches!(&renamed, LoadError::Interface { .. }), "{renamed}");
        let text = renamed.to_string();
        assert!(
            text.starts_with("the module does not fit plugin.wit: "),
            "{text}"
        );
        assert!(text.contains(to), "{text}");
    }
}

#[test]
fn every_kind_is_recognised_and_shown_with_what_it_imports_and_exports() {
    for kind in PluginKind::ALL {
        let bytes = hostile_bytes(kind);
        assert_eq!(load(&bytes), Ok(kind));
        let inspection = Inspection::of(engine(), &bytes);
        assert_eq!(inspection.kinds, [kind.name()]);
        assert_eq!(inspection.imports, ["broker:plugin/log@0.1.0#write"]);
        assert_eq!(
            (inspection.size_bytes, inspection.problem),
            (bytes.len(), None)
        );
        let interface = format!("broker:plugin/{kind}@0.1.0#");
        let exports = inspection.exports.iter();
        let of_kind = exports.filter(|export| export.starts_with(&interface));
        assert!(of_kind.count() >= 2, "{:?}", inspection.exports);
    }
}

#[test]
fn a_damaged_module_is_an_error_and_never_a_panic() {
    let module = shipped_module("key-hash");
    for cut in (0..module.len()).step_by(module.len() / 12) {
        assert!(load(&module[..cut]).is_err(), "cut at {cut}");
    }
    // A flipped bit may leave a plugin that works; what counts is that nothing worse comes of it.
    let mut refused = 0;
    for at in (0..module.len()).step_by(module.len() / 12) {
        let mut flipped = module.to_vec();
        flipped[at] ^= 0x40;
        refused += usize::from(load(&flipped).is_err());
    }
    assert!(refused > 0);
}

#[test]
fn an_inspection_tells_what_it_found_and_why_it_cannot_be_loaded() {
    let good = Inspection::of(engine(), shipped_module("key-hash"));
    assert_eq!(good.problem, None);
    assert_eq!(good.kinds, ["partitioner"]);
    assert_eq!(good.abi_versions, ["0.1.0"]);
    assert_eq!(good.name.as_deref(), Some("plugin-key-hash"));
    assert_eq!(good.size_bytes, shipped_module("key-hash").len());
    let bad = Inspection::of(engine(), &module(&[("env", "time")], &PARTITIONER));
    assert_eq!(bad.imports, ["env#time"]);
    assert_eq!(bad.exports.len(), 3);
    assert!(matches!(bad.problem, Some(LoadError::UnknownImport { .. })));
    let nothing = Inspection::of(engine(), b"hello");
    assert_eq!(
        nothing.digest,
        "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
    );
    assert_eq!(nothing.problem, Some(LoadError::NotWasm));
}
