import TensorCore

/// The modules of a base that an adapter of an image model means.
///
/// Its names say what component of a pipeline a module belongs to, and those of kohya have an underscore where the model has a dot. A component
/// fits a base in which all of its modules are found behind one prefix, with weights of their shape; a UNet with the names of the single
/// files also one with those of diffusers. A base that is one component takes what is for it, with a warning about the rest; a file with
/// several must hold all.
struct ModuleResolution {
    /// Modules with what the base and their component call them.
    private(set) var found: [(module: LoRAAdapter.Module, component: String, name: String)] = []
    private(set) var warnings: [Warning] = []

    private let adapter: LoRAAdapter
    private let base: any CheckpointReader
    /// The modules of the base with weights of two and more dimensions, and the places of these.
    private let known: [(name: String, place: Int)]

    /// Finds the modules.
    ///
    /// - Throws: `FormatError`: `missing_tensor` for what the base lacks, `bad_name` where several modules could be meant.
    init(of adapter: LoRAAdapter, in base: any CheckpointReader) throws(FormatError) {
        self.adapter = adapter
        self.base = base
        known = base.descriptors.enumerated().compactMap { place, tensor in
            guard tensor.name.text.hasSuffix(".weight"), tensor.shape.rank >= 2 else { return nil }
            return (String(tensor.name.text.dropLast(".weight".count)), place)
        }
        var order: [String] = []
        var components: [String: [(module: LoRAAdapter.Module, name: String)]] = [:]
        for module in adapter.modules {
            guard let reference = ModuleReference(module.name, adapter.naming) else {
                throw missing(module, "has no module of that name")
            }
            if components[reference.component] == nil { order.append(reference.component) }
            components[reference.component, default: []].append((module, reference.name))
        }
        var absent: [String] = []
        var taken: Set<String> = []
        var isWhole = false
        for component in order {
            let wanted = components[component] ?? []
            var found = try placements(of: wanted, component)
            if found.isEmpty, let others = inDiffusersNames(wanted, component) {
                found = try placements(of: others, component)
            }
            guard let placement = found.first else {
                absent.append(component)
                continue
            }
            isWhole = isWhole || !placement.prefix.isEmpty
            for (part, name) in zip(wanted, placement.names) {
                // Encoders of one size have the same modules.
                guard taken.insert(name).inserted else { throw ambiguous(part.module, order, of: name) }
                var module = part.module
                module.name = name
                self.found.append((module, component, String(name.dropFirst(placement.prefix.count))))
            }
        }
        guard let first = absent.first, let part = components[first]?.first else { return }
        guard !self.found.isEmpty, !isWhole else {
            throw missing(
                part.module, "has not all modules of its component, \(first.escapingControlCharacters), in their shapes"
            )
        }
        let count = absent.reduce(0) { $0 + (components[$1]?.count ?? 0) }
        warnings = [
            Warning(
                FormatWarning.otherComponents,
                "\(count) \(count == 1 ? "module is" : "modules are") of \(absent.joined(separator: ", ").escapingControlCharacters) and left out: the base is "
                    + "another component", file: adapter.reader.path.string)
        ]
    }

    /// Where a component may lie.
    private struct Placement {
        let prefix: String
        /// The modules, as the base calls them.
        let names: [String]
    }

    private func placements(
        of wanted: [(module: LoRAAdapter.Module, name: String)], _ component: String
    ) throws(FormatError) -> [Placement] {
        let first = spelled(wanted[0].name)
        var prefixes: [String] = []
        for (name, _) in known {
            for prefix in starts(of: name) where spelled(String(name.dropFirst(prefix.count))) == first {
                // Encoders of one pipeline may have modules of the same names and sizes.
                guard !prefixes.contains(prefix), ModuleReference.mayLie(component, behind: prefix) else { continue }
                prefixes.append(prefix)
            }
        }
        var found: [Placement] = []
        for prefix in prefixes {
            var places: [String: [(name: String, place: Int)]] = [:]
            for entry in known where entry.name.hasPrefix(prefix) {
                places[spelled(String(entry.name.dropFirst(prefix.count))), default: []].append(entry)
            }
            var names: [String] = []
            for (module, name) in wanted {
                let candidates = places[spelled(name)] ?? []
                guard candidates.count < 2 else {
                    throw ambiguous(module, candidates.map(\.name))
                }
                guard let candidate = candidates.first, fits(module, candidate.place) else { break }
                names.append(candidate.name)
            }
            if names.count == wanted.count { found.append(Placement(prefix: prefix, names: names)) }
        }
        guard found.count < 2 else { throw ambiguous(wanted[0].module, found.map { $0.names[0] }) }
        return found
    }

    /// The modules of a UNet by the names of diffusers; nil when none has another one there.
    private func inDiffusersNames(
        _ wanted: [(module: LoRAAdapter.Module, name: String)], _ component: String
    ) -> [(module: LoRAAdapter.Module, name: String)]? {
        guard ModuleReference(kohya: component, name: "").component == "unet" else { return nil }
        let separator: Character = adapter.naming == .kohya ? "_" : "."
        let names = wanted.map { UNetModuleName.ofDiffusers($0.name, separator: separator) }
        guard names.contains(where: { $0 != nil }) else { return nil }
        return zip(wanted, names).map { ($0.module, $1 ?? $0.name) }
    }

    /// Nothing, and all that ends in a dot.
    private func starts(of name: String) -> [String] {
        [""] + name.indices.filter { name[$0] == "." }.map { String(name[...$0]) }
    }

    private func spelled(_ name: String) -> String {
        adapter.naming == .kohya ? String(name.map { $0 == "." ? "_" : $0 }) : name
    }

    private func fits(_ module: LoRAAdapter.Module, _ place: Int) -> Bool {
        let (a, b) = (adapter.reader.descriptors[module.a].shape.dims, adapter.reader.descriptors[module.b].shape.dims)
        let dims = base.descriptors[place].shape.dims
        return b.first == dims.first && a.dropFirst() == dims.dropFirst()
    }

    private func missing(_ module: LoRAAdapter.Module, _ problem: String) -> FormatError {
        let name = adapter.reader.descriptors[module.a].name
        return FormatError(
            .missingTensor, "the base \(base.path.string) \(problem), for the adapter's \"\(name)\"",
            file: adapter.reader.path, tensor: name,
            hint:
                "the base is the component of a diffusers pipeline that the adapter was made for, such as its unet folder"
        )
    }

    private func ambiguous(_ module: LoRAAdapter.Module, _ names: [String]) -> FormatError {
        let name = adapter.reader.descriptors[module.a].name
        return FormatError(
            .badName,
            "the adapter's \"\(name)\" may mean \(names.sorted().joined(separator: " or ").escapingControlCharacters) of the base "
                + base.path.string, file: adapter.reader.path, tensor: name,
            hint: "name the component of the pipeline alone as the base")
    }

    private func ambiguous(_ module: LoRAAdapter.Module, _ components: [String], of taken: String) -> FormatError {
        let name = adapter.reader.descriptors[module.a].name
        return FormatError(
            .badName,
            "\"\(taken.escapingControlCharacters)\" of the base \(base.path.string) may be meant by several components of the adapter "
                + "(\(components.joined(separator: ", ").escapingControlCharacters))", file: adapter.reader.path,
            tensor: name,
            hint: "split the adapter, and name the part that is for this base")
    }
}
