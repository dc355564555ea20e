//! The sources of plugin-sdk as they were when this binary was built, so that a plugin can be begun
//! anywhere. The build script gathers them.

/// Path inside the SDK and contents of every source file.
static FILES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/sdk_files.rs"));
/// The manifest of the SDK outside of the broker's workspace.
static MANIFEST: &str = include_str!(concat!(env!("OUT_DIR"), "/sdk_cargo.toml"));

/// Every file of the SDK, with its path inside the SDK's folder.
pub(super) fn files() -> impl Iterator<Item = (&'static str, &'static str)> {
    FILES.iter().copied().chain([("Cargo.toml", MANIFEST)])
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[track_caller]
    fn count_on_disk(folder: &Path) -> usize {
        let mut count = 0;
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                count += count_on_disk(&path);
                continue;
            }
            let (_, embedded) = FILES
                .iter()
                .find(|(name, _)| path.ends_with(Path::new("plugin-sdk").join(name)))
                .unwrap_or_else(|| panic!("{} is not in the binary", path.display()));
            assert_eq!(*embedded, std::fs::read_to_string(&path).unwrap());
            count += 1;
        }
        count
    }

    #[test]
    fn the_binary_has_every_source_of_the_sdk_as_it_is() {
        let sdk = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugin-sdk");
        let on_disk = count_on_disk(&sdk.join("src")) + count_on_disk(&sdk.join("wit"));
        assert_eq!(on_disk, FILES.len());
        assert!(on_disk > 10);
    }

    fn manifest_of_the_sdk() -> toml::Table {
        let sdk = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugin-sdk/Cargo.toml");
        std::fs::read_to_string(sdk).unwrap().parse().unwrap()
    }

    #[test]
    fn the_manifest_stands_alone() {
        assert!(!MANIFEST.contains("workspace"), "{MANIFEST}");
        assert!(
            MANIFEST.contains("wit-bindgen") && MANIFEST.contains("edition"),
            "{MANIFEST}"
        );
    }

    #[test]
    fn the_manifest_has_the_features_and_optional_dependencies_of_the_sdk() {
        let (sdk, written) = (
            manifest_of_the_sdk(),
            MANIFEST.parse::<toml::Table>().unwrap(),
        );
        assert!(sdk["features"].get("key-table").is_some());
        assert_eq!(written["features"], sdk["features"]);
        let dependencies = sdk["dependencies"].as_table().unwrap();
        assert_eq!(
            written["dependencies"].as_table().unwrap().len(),
            dependencies.len()
        );
        for (name, own) in dependencies {
            let written = &written["dependencies"][name];
            assert!(written.get("version").is_some(), "{name}: {written}");
            assert_eq!(written.get("optional"), own.get("optional"), "{name}");
        }
        let features = written["dependencies"]["wit-bindgen"].get("features");
        assert!(features.is_some(), "{MANIFEST}");
    }
}
