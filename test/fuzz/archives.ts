import { gzipSync } from 'node:zlib';
import {
  blobFile,
  blobFiles,
  buildImage,
  describeTop,
  entriesOf,
  layoutFiles,
  refName,
  savedEntries,
  tarOf,
  zstdBlockHeader,
  zstdFrameHeader,
  zstdStored,
  type TarEntry,
} from '../support/content/archives.js';
import { describeManifest, indexManifest, type Manifest } from '../support/content/content.js';
import { bendDocument } from './documents.js';
import type { Random } from './random.js';

/** A tar that was right once, in whatever is around it. */
export async function makeArchive(random: Random): Promise<Buffer> {
  const entries = random.chance(0.6) ? layoutEntries(random) : savedEntries(buildImage('saved'), ['fuzzed/app:1']);
  const share = random.pick([0, 0, 0.1, 0.3]);
  const bent = entries.map((entry) => (random.chance(share) ? bendEntry(random, entry) : entry));
  const shuffled = random.chance(0.3) ? bent.toReversed() : bent;
  let tar = await tarOf(shuffled);
  if (random.chance(0.1)) tar = bendBytes(random, tar);
  const packed = wrap(random, tar);
  return random.chance(0.1) ? bendBytes(random, packed) : packed;
}

/** An image below so many indexes, each of which names the one below it so many times. */
function layoutEntries(random: Random): TarEntry[] {
  const image = buildImage(`fuzzed ${random.int(5)}`);
  const manifests: Manifest[] = [image.manifest];
  const [levels, width] = [random.int(11), 1 + random.int(40)];
  for (let level = 0; level < levels; level++) {
    const below = describeManifest(manifests.at(-1) ?? image.manifest);
    manifests.push(indexManifest(Array.from({ length: width }, (_, n) => ({ ...below, annotations: { n: `${n}` } }))));
  }
  const top = manifests.at(-1) ?? image.manifest;
  const tops = Array.from({ length: random.chance(0.05) ? 3000 : 1 }, (_, n) =>
    describeTop(top, refName(`fuzzed/app:${n}`)),
  );
  const blobs = Object.fromEntries(manifests.map(({ bytes }) => [blobFile(bytes), bytes]));
  return entriesOf({ ...blobFiles(image), ...blobs, ...layoutFiles(tops) });
}

function bendEntry(random: Random, { name, bytes = '', ...header }: TarEntry): TarEntry {
  if (random.chance(0.2)) {
    const strange = random.pick(['../x', '/etc/x', `${'a/'.repeat(600)}x`, 'blobs/blake3/00', 'x\0y', '']);
    return { ...header, name: strange, bytes };
  }
  if (random.chance(0.1))
    return {
      name,
      type: random.pick(['symlink', 'link', 'fifo']),
      linkname: random.pick(['index.json', '../x', name]),
    };
  if (typeof bytes === 'string' || bytes[0] === 0x7b) {
    const document = parse(bytes.toString());
    if (document !== undefined) return { ...header, name, bytes: bendDocument(random, document) };
  }
  return { ...header, name, bytes: Buffer.from(bytes).subarray(random.int(3)) };
}

function parse(text: string): object | undefined {
  try {
    const json: unknown = JSON.parse(text);
    return typeof json === 'object' && json !== null ? json : undefined;
  } catch {
    return undefined;
  }
}

function wrap(random: Random, tar: Buffer): Buffer {
  const repeated = Buffer.concat([zstdBlockHeader(128 * 1024, 1, false), Buffer.from([0])]);
  switch (random.int(8)) {
    case 0:
      return gzipSync(tar, { level: 1 });
    case 1:
      return zstdStored(tar, 0x58);
    case 2:
      return Buffer.concat([zstdStored(tar, 0x58), zstdStored(tar, 0x78)]);
    case 3: {
      if (random.chance(0.8)) return zstdStored(tar, 0x58);
      const window = random.pick([0x38, 0x50, 0x78, 0xa8]);
      return Buffer.concat([
        zstdFrameHeader(window),
        ...Array.from({ length: random.int(300) }, () => repeated),
        zstdBlockHeader(0, 0, true),
      ]);
    }
    case 4: {
      if (random.chance(0.8)) return tar;
      // Empty blocks, or frames of nothing.
      const part = random.pick([Buffer.alloc(3), zstdStored(Buffer.alloc(0), 0x78)]);
      return Buffer.concat([zstdFrameHeader(0x78), ...Array.from({ length: random.int(200_000) }, () => part)]);
    }
    default:
      return tar;
  }
}

function bendBytes(random: Random, bytes: Buffer): Buffer {
  const at = random.int(bytes.length + 1);
  if (random.chance(0.4)) return bytes.subarray(0, at);
  if (random.chance(0.3))
    return Buffer.concat([bytes.subarray(0, at), bytes.subarray(random.int(at + 1), at), bytes.subarray(at)]);
  const bent = Buffer.from(bytes);
  for (let flips = 1 + random.int(4); flips > 0; flips--) bent[random.int(bent.length)] = random.int(256);
  return bent;
}
