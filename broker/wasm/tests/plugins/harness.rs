//! What the tests share: one engine, the shipped modules, the hostile guest compiled once, and a
//! partitioner that is given keys.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, LazyLock};

use broker_wasm::{
    BatchColumns, Builtin, BytesColumn, Catalog, Layout, Module, Partitioner, PluginEngine,
    PluginError, PluginKind,
};

/// The engine of every test; they run beside each other on it, as topics do.
pub(crate) fn engine() -> &'static Arc<PluginEngine> {
    static ENGINE: LazyLock<Arc<PluginEngine>> = LazyLock::new(|| PluginEngine::new().unwrap());
    &ENGINE
}

/// The module of a shipped plugin.
pub(crate) fn shipped_module(name: &str) -> &'static [u8] {
    let modules = broker_plugin_bundle::modules();
    modules
        .iter()
        .find(|module| module.name == name)
        .unwrap()
        .bytes
}

/// The shipped modules as the broker hands them over.
pub(crate) fn builtins() -> Vec<Builtin<'static>> {
    let modules = broker_plugin_bundle::modules().iter();
    modules
        .map(|module| Builtin {
            name: module.name,
            bytes: module.bytes,
            digest: module.digest,
        })
        .collect()
}

/// The catalog of a broker without a manifest. Made once: compiling is slow in a test build.
pub(crate) fn catalog() -> &'static Catalog {
    static CATALOG: LazyLock<Catalog> =
        LazyLock::new(|| Catalog::load(engine(), &builtins(), None).unwrap());
    &CATALOG
}

/// The module file of the partitioner in `tests/hostile-guest`.
pub(crate) fn hostile_module() -> &'static Path {
    static MODULE: LazyLock<PathBuf> = LazyLock::new(|| hostile_file(PluginKind::Partitioner));
    &MODULE
}

/// The module file of the hostile guest of a kind.
fn hostile_file(kind: PluginKind) -> PathBuf {
    static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let partitioner = build_guest(&here.join("tests/hostile-guest"), "hostile_guest");
        partitioner.parent().unwrap().to_owned()
    });
    FOLDER.join(match kind {
        PluginKind::Partitioner => "hostile_guest.wasm",
        PluginKind::Serializer => "hostile_serializer.wasm",
        PluginKind::Retention => "hostile_retention.wasm",
        PluginKind::Compaction => "hostile_compaction.wasm",
    })
}

/// The bytes of the hostile guest of a kind.
pub(crate) fn hostile_bytes(kind: PluginKind) -> Vec<u8> {
    std::fs::read(hostile_file(kind)).unwrap()
}

/// The hostile guest of a kind, compiled once.
pub(crate) fn hostile(kind: PluginKind) -> Module {
    static MODULES: LazyLock<[Module; 4]> =
        LazyLock::new(|| PluginKind::ALL.map(|kind| engine().load(&hostile_bytes(kind)).unwrap()));
    let at = PluginKind::ALL.iter().position(|known| *known == kind);
    MODULES[at.unwrap()].clone()
}

/// Builds a plugin crate as its author would, and answers the module's file.
pub(crate) fn build_guest(folder: &Path, library: &str) -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join(library);
    let arguments = [
        "build",
        "--workspace",
        "--release",
        "--locked",
        "--target",
        "wasm32-unknown-unknown",
    ];
    cargo(folder, &target, &arguments);
    target
        .join("wasm32-unknown-unknown/release")
        .join(format!("{library}.wasm"))
}

/// Runs cargo in the folder of a crate that is not part of the workspace.
pub(crate) fn cargo(folder: &Path, target: &Path, arguments: &[&str]) {
    let mut cargo = Command::new(env!("CARGO"));
    cargo
        .args(arguments)
        .current_dir(folder)
        .arg("--target-dir")
        .arg(target);
    let of_this_build = |name: &str| name.contains("RUSTFLAGS") || name.ends_with("_WRAPPER");
    for (name, _) in std::env::vars().filter(|(name, _)| of_this_build(name)) {
        cargo.env_remove(name);
    }
    let output = cargo.output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// A topic of 8 partitions.
pub(crate) const LAYOUT: Layout<'static> = Layout {
    partitions: 8,
    counts: &[8],
    sequence: 0,
    batches: 0,
};

/// One call with a batch of `keys`.
pub(crate) fn assign(
    partitioner: &mut Partitioner,
    keys: &[Option<&str>],
    layout: Layout<'_>,
) -> Result<Vec<u32>, PluginError> {
    let column: BytesColumn = keys.iter().map(|key| key.map(str::as_bytes)).collect();
    let records = u32::try_from(keys.len()).unwrap();
    let batch = BatchColumns {
        records,
        keys: Some(&column),
        ..BatchColumns::default()
    };
    partitioner.assign(&batch, &layout)
}

/// A module with every `from` replaced by an equally long `to`.
pub(crate) fn replaced(module: &[u8], from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut bytes = module.to_vec();
    let mut replaced = 0;
    for at in 0..bytes.len() - from.len() {
        if bytes[at..].starts_with(from.as_bytes()) {
            bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
            replaced += 1;
        }
    }
    assert!(replaced > 0, "{from} does not occur");
    bytes
}
