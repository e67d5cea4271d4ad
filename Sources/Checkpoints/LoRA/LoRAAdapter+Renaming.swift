import TensorCore

extension LoRAAdapter {
    /// The adapter with the names of its modules as another program has them.
    ///
    /// - Parameters:
    ///   - base: what the adapter was made for, which tells the dots behind kohya's underscores.
    ///   - component: of a pipeline, such as `unet`, that an adapter of PEFT is for.
    /// - Throws: `FormatError`: `bad_name` for names that cannot be told, `unsupported_object` for parts that have no names there; what
    ///   finding modules in the base throws.
    package func renamed(
        _ wanted: AdapterNaming, base: (any CheckpointReader)?, component: String?
    ) throws(FormatError) -> LoRAAdapter {
        guard wanted != naming else { return self }
        let special = modules.first { $0.isEmbedding || $0.magnitude != nil || $0.bias != nil }
        if let place = special?.a ?? tensors.first?.place {
            let name = reader.descriptors[place].name
            throw FormatError(
                .unsupportedObject, "tensor \"\(name)\" is a part of an adapter that has no name of \(wanted.rawValue)",
                file: reader.path, tensor: name)
        }
        let references = try references(base: base, component: component)
        let components = Set(references.map(\.reference.component))
        var renamed: [Module] = []
        for (module, reference) in references {
            var module = module
            module.scaling = module.scaling ?? config.scaling(of: module.name)
            module.name = reference.spelled(wanted, among: components)
            module.path = module.name
            renamed.append(module)
        }
        guard wanted != .peft || components.count == 1 else {
            throw FormatError(
                .badName,
                "the adapter has modules of \(components.sorted().joined(separator: " and ").escapingControlCharacters), and one of PEFT is for one model",
                file: reader.path)
        }
        return LoRAAdapter(self, naming: wanted, modules: renamed)
    }

    /// The modules with what they are called in a pipeline of diffusers.
    private func references(
        base: (any CheckpointReader)?, component: String?
    ) throws(FormatError) -> [(module: Module, reference: ModuleReference)] {
        switch naming {
        case .peft:
            guard let component else {
                throw FormatError(
                    .badName, "what component of a pipeline \(reader.path.string) is for its names do not tell",
                    file: reader.path, hint: "say it with --component, such as unet")
            }
            return modules.map { ($0, ModuleReference(component: component, name: $0.name)) }
        case .diffusers:
            return modules.map { module in
                (module, ModuleReference(module.name, naming) ?? ModuleReference(component: "unet", name: module.name))
            }
        case .kohya:
            guard let base else {
                throw FormatError(
                    .badName, "which underscores of \(reader.path.string) are dots its base alone tells",
                    file: reader.path, hint: "name the base with --base")
            }
            let resolution = try ModuleResolution(of: self, in: base)
            guard resolution.found.count == modules.count else {
                let found = Set(resolution.found.map(\.component))
                let absent = Set(modules.compactMap { ModuleReference($0.name, naming)?.component }).subtracting(found)
                throw FormatError(
                    .missingTensor,
                    "the base \(base.path.string) is \(found.sorted().joined(separator: " and ").escapingControlCharacters), and the "
                        + "adapter has modules of \(absent.sorted().joined(separator: " and ").escapingControlCharacters), too",
                    file: reader.path,
                    hint: "name a base that has all components, such as the single file of the pipeline")
            }
            var references: [(module: Module, reference: ModuleReference)] = []
            for (module, component, name) in resolution.found {
                references.append((module, try diffusersReference(to: module, component, name, base)))
            }
            return references
        }
    }

    /// What diffusers calls a module that was found in a base, which may be a single file with other names.
    ///
    /// - Throws: `FormatError` `bad_name` for a module of a UNet that has no name there.
    private func diffusersReference(
        to module: Module, _ component: String, _ name: String, _ base: any CheckpointReader
    ) throws(FormatError) -> ModuleReference {
        let reference = ModuleReference(kohya: component, name: name)
        guard reference.component == "unet" else { return reference }
        if let name = UNetModuleName.ofDiffusers(name) { return ModuleReference(kohya: component, name: name) }
        guard !UNetModuleName.isOfSingleFile(name) else {
            let factor = reader.descriptors[module.a].name
            throw FormatError(
                .badName,
                "\"\(name.escapingControlCharacters)\" of the base \(base.path.string), which \"\(factor)\" is for, has no name of "
                    + "diffusers", file: reader.path, tensor: factor,
                hint: "name the unet folder of a diffusers pipeline with --base")
        }
        return reference
    }
}
