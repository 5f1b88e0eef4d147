import * as fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { DeletionReport, DeletionRequest } from '../../../../src/ports/editing.js';
import type { ParsedManifest } from '../../../../src/protocol/manifests/manifest.js';
import type { Digest } from '../../../../src/protocol/digest.js';
import { parseTag, type Tag } from '../../../../src/protocol/names.js';
import { describeManifest } from '../../../support/content/content.js';
import { anyone, Domain, imageOf, indexOf, keyOf, missingOf, pushBlobs } from '../../../support/storage/domain.js';

/** How one manifest of a random image is built from the ones before it. */
interface Blueprint {
  readonly kind: 'image' | 'index' | 'referrer';
  readonly layers: readonly number[];
  readonly before: readonly number[];
  readonly tags: readonly number[];
  /** Whether an index has its last child as its subject. */
  readonly isReferrer: boolean;
}

interface Scenario {
  readonly blueprints: readonly Blueprint[];
  /** Layers and manifests that another image of the same content holds. */
  readonly elsewhere: readonly number[];
  readonly tags: readonly number[];
  readonly digests: readonly number[];
  readonly all: boolean;
}

const small = fc.nat({ max: 5 });
const blueprint = fc.record({
  kind: fc.constantFrom('image' as const, 'image' as const, 'index' as const, 'referrer' as const),
  layers: fc.uniqueArray(small, { minLength: 1, maxLength: 3 }),
  before: fc.uniqueArray(fc.nat({ max: 9 }), { minLength: 1, maxLength: 3 }),
  tags: fc.uniqueArray(fc.nat({ max: 4 }), { maxLength: 2 }),
  isReferrer: fc.boolean(),
});
const scenario: fc.Arbitrary<Scenario> = fc.record({
  blueprints: fc.array(blueprint, { minLength: 1, maxLength: 8 }),
  elsewhere: fc.uniqueArray(small, { maxLength: 2 }),
  tags: fc.uniqueArray(fc.nat({ max: 5 }), { maxLength: 3 }),
  digests: fc.uniqueArray(fc.nat({ max: 9 }), { maxLength: 2 }),
  all: fc.oneof({ weight: 6, arbitrary: fc.constant(false) }, { weight: 1, arbitrary: fc.constant(true) }),
});

const tagOf = (n: number): Tag => parseTag(`t${n}`);

describe('deletions of several tags and manifests', () => {
  let domain: Domain;
  let runs = 0;
  beforeAll(async () => {
    domain = await Domain.open();
  });
  afterAll(() => domain.dispose());

  it('do what the preview and a simple model say, and free exactly the announced bytes', async () => {
    await fc.assert(
      fc.asyncProperty(scenario, async (given) => {
        const repository = `r${(runs += 1)}`;
        await domain.addRepository(repository);
        const { manifests, tags } = await build(domain, repository, given);
        await domain.collectAll();
        const request = requestOf(given, manifests);
        const expected = planOf(manifests, tags, request);
        const { editor } = domain.writer(repository);
        const before = bytesOnDisk(domain);
        const preview = await editor.delete(anyone, 'app', request, { dryRun: true });
        expect(summarize(preview)).toEqual(expected);
        expect(await countImage(domain, repository)).toEqual([manifests.length, tags.size]);
        const report = await editor.delete(anyone, 'app', request, { dryRun: false });
        expect(report).toEqual(preview);
        await checkLeft(domain, repository, manifests, tags, report);
        await domain.collectAll();
        expect(before - bytesOnDisk(domain)).toBe(report.freesBytes);
        for (const { digest } of report.stays) {
          const manifest = manifests.find((one) => one.digest === digest) as ParsedManifest;
          expect(await missingOf(domain.repository(repository), 'app', manifest)).toEqual([]);
        }
        await domain.deleteRepository(repository);
      }),
      { numRuns: 60, seed: 20_263 },
    );
  });
});

async function build(domain: Domain, repository: string, { blueprints, elsewhere }: Scenario) {
  const layers = Array.from({ length: 6 }, (_, i) => Buffer.from(`layer ${i} of ${repository}${'.'.repeat(i)}`));
  const writer = domain.writer(repository);
  const manifests: ParsedManifest[] = [];
  const tags = new Map<Tag, Digest>();
  const pick = (ns: readonly number[]): ParsedManifest[] =>
    [...new Set(ns.map((n) => manifests[n % manifests.length]))].flatMap((one) => one ?? []);
  for (const [i, { kind, layers: own, before, tags: names, isReferrer }] of blueprints.entries()) {
    const [subject] = pick(before);
    if (kind === 'index' && subject !== undefined) {
      const last = isReferrer ? { subject: descriptorOf(pick(before).at(-1) as ParsedManifest) } : {};
      manifests.push(indexOf(pick(before), { annotations: { n: `${repository} ${i}` }, ...last }));
    } else {
      const more = kind === 'referrer' && subject !== undefined ? { subject: descriptorOf(subject) } : {};
      const image = imageOf(
        `${repository} ${i}`,
        own.map((n) => layers[n] as Buffer),
        more,
      );
      await pushBlobs(writer, 'app', image.blobs);
      manifests.push(image.manifest);
    }
    const pushed = manifests.at(-1) as ParsedManifest;
    await writer.putManifest(anyone, 'app', pushed, names.map(tagOf));
    for (const n of names) tags.set(tagOf(n), pushed.digest);
  }
  for (const n of elsewhere) {
    const image = imageOf(`elsewhere ${repository} ${n}`, [layers[n] as Buffer]);
    await pushBlobs(writer, 'other', image.blobs);
    await writer.putManifest(anyone, 'other', image.manifest, []);
  }
  return { manifests, tags };
}

const descriptorOf = ({ bytes, mediaType, digest }: ParsedManifest): object =>
  describeManifest({ type: mediaType, bytes, digest, sha512: '' });

function requestOf({ tags, digests, all }: Scenario, manifests: readonly ParsedManifest[]): DeletionRequest {
  if (all) return { tags: [], digests: [], all };
  const named = new Set(digests.map((n) => (manifests[n % manifests.length] as ParsedManifest).digest));
  return { tags: tags.map(tagOf), digests: [...named], all };
}

/** The plan, by repeated passes over everything. */
function planOf(manifests: readonly ParsedManifest[], tags: ReadonlyMap<Tag, Digest>, request: DeletionRequest) {
  const wanted = request.all ? [...tags.keys()] : request.tags;
  const named = new Set(request.all ? manifests.map(({ digest }) => digest) : request.digests);
  const doomed = new Set(
    [...tags].filter(([tag, digest]) => wanted.includes(tag) || named.has(digest)).map(([tag]) => tag),
  );
  for (const tag of doomed) named.add(tags.get(tag) as Digest);
  const found = new Set(named);
  const names = (a: ParsedManifest, b: ParsedManifest): boolean =>
    a.references.some(({ digest }) => digest === b.digest);
  for (let size = -1; size !== found.size;) {
    size = found.size;
    for (const one of manifests.filter(({ digest }) => found.has(digest))) {
      for (const other of manifests) if (names(one, other) || other.subject === one.digest) found.add(other.digest);
    }
  }
  const going = new Set(found);
  for (let size = -1; size !== going.size;) {
    size = going.size;
    for (const one of manifests.filter(({ digest }) => going.has(digest))) {
      const isTagged = [...tags].some(([tag, digest]) => digest === one.digest && !doomed.has(tag));
      const isListed = manifests.some((other) => names(other, one) && !going.has(other.digest));
      const follows =
        !named.has(one.digest) && manifests.some(({ digest }) => digest === one.subject && !going.has(digest));
      if (isTagged || isListed || follows) going.delete(one.digest);
    }
  }
  const stays = manifests.filter((one) => {
    if (!found.has(one.digest) || going.has(one.digest)) return false;
    const leads = manifests.some(
      (other) => going.has(other.digest) && (names(other, one) || one.subject === other.digest),
    );
    return named.has(one.digest) || leads;
  });
  const unknown = wanted.filter((tag) => !tags.has(tag));
  return {
    tags: [...doomed].sort(),
    manifests: [...going].sort(),
    stays: stays.map(({ digest }) => digest).sort(),
    refused: [...unknown].sort(),
  };
}

function summarize({ tags, manifests, stays, refused }: DeletionReport) {
  return {
    tags: tags.map(({ tag }) => tag).sort(),
    manifests: manifests.map(({ digest }) => digest).sort(),
    stays: stays.map(({ digest }) => digest).sort(),
    refused: refused.map(({ tag }) => tag ?? '').sort(),
  };
}

async function checkLeft(
  domain: Domain,
  repository: string,
  manifests: readonly ParsedManifest[],
  tags: ReadonlyMap<Tag, Digest>,
  report: DeletionReport,
): Promise<void> {
  const at = keyOf(repository, 'app');
  const gone = new Set(report.manifests.map(({ digest }) => digest));
  for (const { digest } of manifests) {
    expect((await domain.metadata.manifest(at, digest)) === undefined).toBe(gone.has(digest));
  }
  const untagged = new Set(report.tags.map(({ tag }) => tag));
  for (const [tag, digest] of tags) {
    expect((await domain.metadata.tag(at, tag))?.digest).toBe(untagged.has(tag) ? undefined : digest);
  }
}

async function countImage(domain: Domain, repository: string): Promise<readonly (number | undefined)[]> {
  const image = await domain.metadata.image(keyOf(repository, 'app'));
  return [image?.manifests, image?.tags];
}

function bytesOnDisk(domain: Domain): number {
  return [...domain.disk.blobs.values()].reduce((sum, { bytes }) => sum + bytes.length, 0);
}
