import CYAML

/// The version of libyaml, as it is at run time.
package var libyamlVersion: String { String(cString: yaml_get_version_string()) }
