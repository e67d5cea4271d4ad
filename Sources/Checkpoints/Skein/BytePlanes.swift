/// Splits elements into planes of their bytes and joins them again.
///
/// Words are halved, and halves halved again, in blocks that stay in the first-level cache: each step has at most two inputs
/// and two outputs, which the compiler vectorises. (A loop that writes four planes at once exceeds its limit of overlap
/// checks and stays scalar.) The transform is part of the step that touches whole words.
final class BytePlanes {
    /// Elements of a block.
    private static let blockCount = 1024

    // Safety: the halves of one block of the widest elements, and the halves of those; freed in deinit.
    private let halves = UnsafeMutableRawPointer.allocate(byteCount: blockCount * 8, alignment: 64)
    private let quarters = UnsafeMutableRawPointer.allocate(byteCount: blockCount * 4, alignment: 64)

    deinit {
        halves.deallocate()
        quarters.deallocate()
    }

    /// Splits elements, changed by a transform, into planes.
    ///
    /// - Parameters:
    ///   - width: bytes of an element: 1, 2, 4 or 8.
    ///   - base: elements of the base, if the transform needs them; `source` and `base` may have any alignment.
    ///   - planes: plane `p` starts at `p * count` and takes byte `p` of every element, 0 the least significant.
    func split(
        _ source: UnsafeRawPointer, count: Int, width: Int, transform: SkeinTransform, base: UnsafeRawPointer?,
        into planes: UnsafeMutablePointer<UInt8>
    ) {
        switch transform {
        case .none: split(source, count, width, Unchanged.self, base: nil, planes)
        case .rotate: split(source, count, width, Rotation.self, base: nil, planes)
        case .zigzag: split(source, count, width, ZigzagDifference.self, base: base, planes)
        case .xor: split(source, count, width, ExclusiveOr.self, base: base, planes)
        }
    }

    /// Joins the elements of a range from planes and undoes the transform.
    ///
    /// - Parameters:
    ///   - planes: one pointer for each of 1, 2, 4 or 8 planes.
    ///   - range: the elements to join; `target` receives the first of them.
    ///   - base: the elements of the base for the range.
    func join(
        _ planes: [UnsafePointer<UInt8>], range: Range<Int>, transform: SkeinTransform, base: UnsafeRawPointer?,
        into target: UnsafeMutableRawPointer
    ) {
        switch transform {
        case .none: join(planes, range, Unchanged.self, base: nil, target)
        case .rotate: join(planes, range, Rotation.self, base: nil, target)
        case .zigzag: join(planes, range, ZigzagDifference.self, base: base, target)
        case .xor: join(planes, range, ExclusiveOr.self, base: base, target)
        }
    }
}

// MARK: - Blocks

extension BytePlanes {
    @inline(__always)
    private func split<Transform: ElementTransform>(
        _ source: UnsafeRawPointer, _ count: Int, _ width: Int, _: Transform.Type, base: UnsafeRawPointer?,
        _ planes: UnsafeMutablePointer<UInt8>
    ) {
        var start = 0
        while start < count {
            let n = min(Self.blockCount, count - start)
            let words = source + start * width
            let base = base.map { $0 + start * width }
            let target = planes + start
            switch width {
            case 1:
                for i in 0..<n { target[i] = Transform.forward(load(words, i), Self.base(Transform.self, base, i)) }
            case 2:
                halve(words, UInt16.self, n, Transform.self, base: base, low: target, high: target + count)
            case 4:
                let low = halves.assumingMemoryBound(to: UInt16.self)
                let high = low + Self.blockCount
                halve(words, UInt32.self, n, Transform.self, base: base, low: low, high: high)
                halve(low, n, low: target, high: target + count)
                halve(high, n, low: target + 2 * count, high: target + 3 * count)
            default:
                let low = halves.assumingMemoryBound(to: UInt32.self)
                let high = low + Self.blockCount
                halve(words, UInt64.self, n, Transform.self, base: base, low: low, high: high)
                split32(low, n, into: target, stride: count)
                split32(high, n, into: target + 4 * count, stride: count)
            }
            start += n
        }
    }

    private func split32(
        _ words: UnsafePointer<UInt32>, _ n: Int, into target: UnsafeMutablePointer<UInt8>, stride: Int
    ) {
        let low = quarters.assumingMemoryBound(to: UInt16.self)
        let high = low + Self.blockCount
        halve(words, n, low: low, high: high)
        halve(low, n, low: target, high: target + stride)
        halve(high, n, low: target + 2 * stride, high: target + 3 * stride)
    }

    @inline(__always)
    private func join<Transform: ElementTransform>(
        _ planes: [UnsafePointer<UInt8>], _ range: Range<Int>, _: Transform.Type, base: UnsafeRawPointer?,
        _ target: UnsafeMutableRawPointer
    ) {
        var start = range.lowerBound
        while start < range.upperBound {
            let n = min(Self.blockCount, range.upperBound - start)
            let place = (start - range.lowerBound) * planes.count
            let base = base.map { $0 + place }
            let words = target + place
            switch planes.count {
            case 1:
                let plane = planes[0] + start
                for i in 0..<n { store(Transform.inverse(plane[i], Self.base(Transform.self, base, i)), words, i) }
            case 2:
                zip(planes[0] + start, planes[1] + start, n, Transform.self, base: base, into: words, UInt16.self)
            case 4:
                let low = halves.assumingMemoryBound(to: UInt16.self)
                let high = low + Self.blockCount
                zip(planes[0] + start, planes[1] + start, n, into: low)
                zip(planes[2] + start, planes[3] + start, n, into: high)
                zip(low, high, n, Transform.self, base: base, into: words, UInt32.self)
            default:
                let low = halves.assumingMemoryBound(to: UInt32.self)
                let high = low + Self.blockCount
                join32(planes, 0, at: start, n, into: low)
                join32(planes, 4, at: start, n, into: high)
                zip(low, high, n, Transform.self, base: base, into: words, UInt64.self)
            }
            start += n
        }
    }

    private func join32(
        _ planes: [UnsafePointer<UInt8>], _ first: Int, at start: Int, _ n: Int,
        into words: UnsafeMutablePointer<UInt32>
    ) {
        let low = quarters.assumingMemoryBound(to: UInt16.self)
        let high = low + Self.blockCount
        zip(planes[first] + start, planes[first + 1] + start, n, into: low)
        zip(planes[first + 2] + start, planes[first + 3] + start, n, into: high)
        zip(low, high, n, into: words)
    }
}

// MARK: - Loops

// Safety of all: the callers give pointers with room for `n` words or halves, and outputs that overlap nothing.
extension BytePlanes {
    @inline(__always)
    private func load<Word: FixedWidthInteger>(_ words: UnsafeRawPointer, _ i: Int) -> Word {
        words.loadUnaligned(fromByteOffset: i &* MemoryLayout<Word>.size, as: Word.self)
    }

    @inline(__always)
    private func store<Word: FixedWidthInteger>(_ word: Word, _ words: UnsafeMutableRawPointer, _ i: Int) {
        words.storeBytes(of: word, toByteOffset: i &* MemoryLayout<Word>.size, as: Word.self)
    }

    /// The base's word, zero where the transform needs none.
    @inline(__always)
    private static func base<Transform: ElementTransform, Word: FixedWidthInteger>(
        _: Transform.Type, _ base: UnsafeRawPointer?, _ i: Int
    ) -> Word {
        guard Transform.needsBase else { return 0 }
        return base.unsafelyUnwrapped.loadUnaligned(fromByteOffset: i &* MemoryLayout<Word>.size, as: Word.self)
    }

    /// Changes words and splits them into their low and their high halves.
    @inline(__always)
    private func halve<Transform: ElementTransform, Word: FixedWidthInteger & UnsignedInteger, Half: FixedWidthInteger>(
        _ words: UnsafeRawPointer, _: Word.Type, _ n: Int, _: Transform.Type, base: UnsafeRawPointer?,
        low: UnsafeMutablePointer<Half>, high: UnsafeMutablePointer<Half>
    ) {
        let shift = Word(truncatingIfNeeded: Half.bitWidth)
        for i in 0..<n {
            let word: Word = Transform.forward(load(words, i), Self.base(Transform.self, base, i))
            low[i] = Half(truncatingIfNeeded: word)
            high[i] = Half(truncatingIfNeeded: word &>> shift)
        }
    }

    @inline(__always)
    private func halve<Word: FixedWidthInteger & UnsignedInteger, Half: FixedWidthInteger>(
        _ words: UnsafePointer<Word>, _ n: Int, low: UnsafeMutablePointer<Half>, high: UnsafeMutablePointer<Half>
    ) {
        halve(UnsafeRawPointer(words), Word.self, n, Unchanged.self, base: nil, low: low, high: high)
    }

    /// Joins halves to words and changes them back.
    @inline(__always)
    private func zip<Transform: ElementTransform, Word: FixedWidthInteger & UnsignedInteger, Half: FixedWidthInteger>(
        _ low: UnsafePointer<Half>, _ high: UnsafePointer<Half>, _ n: Int, _: Transform.Type, base: UnsafeRawPointer?,
        into words: UnsafeMutableRawPointer, _: Word.Type
    ) {
        let shift = Word(truncatingIfNeeded: Half.bitWidth)
        for i in 0..<n {
            let word = Word(truncatingIfNeeded: low[i]) | Word(truncatingIfNeeded: high[i]) &<< shift
            store(Transform.inverse(word, Self.base(Transform.self, base, i)), words, i)
        }
    }

    @inline(__always)
    private func zip<Word: FixedWidthInteger & UnsignedInteger, Half: FixedWidthInteger>(
        _ low: UnsafePointer<Half>, _ high: UnsafePointer<Half>, _ n: Int, into words: UnsafeMutablePointer<Word>
    ) {
        zip(low, high, n, Unchanged.self, base: nil, into: UnsafeMutableRawPointer(words), Word.self)
    }
}
