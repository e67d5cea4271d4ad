import COniguruma
import CUTF8Proc

/// The versions of the libraries that texts are cut and normalised with, as they are at run time.
package var tokenizationLibraryVersions: [(name: String, version: String)] {
    [("Oniguruma", String(cString: onig_version())), ("utf8proc", String(cString: utf8proc_version()))]
}
