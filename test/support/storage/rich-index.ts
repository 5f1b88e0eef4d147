import type { ImageKey, ManifestRecord } from '../../../src/ports/metadata/images.js';
import type { Attribution } from '../../../src/ports/metadata/journal.js';
import type { Change, MetadataStore } from '../../../src/ports/metadata/metadata.js';
import type { Sample } from '../../../src/ports/operations/monitoring.js';
import { parseDigest, type Digest } from '../../../src/protocol/digest.js';
import type { Tag } from '../../../src/protocol/names.js';
import { repositoryConfigSchema } from '../../../src/protocol/settings/repository-config.js';
import { digest, types } from '../content/content.js';

const documents = [
  ['account', 'ci'],
  ['account-token', 't1'],
  ['person', 'idp:anna'],
  ['rule', 'r1'],
  ['signing-key', 'k1'],
  ['quota', 'q1'],
  ['retention', 'default'],
  ['sync', 's1'],
  ['webhook', 'w1'],
] as const;
const app: ImageKey = { repository: 'local', image: 'team/app' };
const cached: ImageKey = { repository: 'hub', image: 'library/alpine' };
const contents = ['config', 'layer', 'other', 'index', 'one', 'two', 'three', 'signature', 'cached', 'lost'] as const;
/** The bytes that the index of `fillIndex` refers to. */
export const indexContents: readonly Buffer[] = contents.map((name) => Buffer.from(name));
const of = (name: (typeof contents)[number]): Digest => parseDigest(digest(Buffer.from(name)));

function manifest(name: (typeof contents)[number], when: number, more: Partial<ManifestRecord> = {}): ManifestRecord {
  return {
    digest: of(name),
    mediaType: types.ociImage,
    size: name.length,
    references: [of('config'), of('layer')],
    contentBytes: 11,
    pushedAt: when,
    ...more,
  };
}

/** Writes something of everything that an index can hold. The bytes are `indexContents`. */
export async function fillIndex(metadata: MetadataStore): Promise<void> {
  let when = 1_800_000_000_000;
  const by = (): Attribution => ({ actor: { principal: 'anna', via: 'basic', address: '10.0.0.1' }, at: when });
  const apply = async (...changes: Change[]): Promise<void> => {
    when += 1000;
    await metadata.apply(changes, { durable: false, by: by() });
  };
  const link = (at: ImageKey, name: (typeof contents)[number]): Change => {
    return { type: 'blob.link', at, digest: of(name), size: name.length, when };
  };
  const tag = (at: ImageKey, name: string, target: (typeof contents)[number], more = {}): Change => {
    return { type: 'tag.put', at, tag: { name: name as Tag, digest: of(target), updatedAt: when, ...more } };
  };
  for (const config of [
    { name: 'local', type: 'local' },
    { name: 'hub', type: 'remote', upstream: 'docker.io', cache: true },
    { name: 'gone', type: 'local' },
  ]) {
    await apply({ type: 'repository.put', config: repositoryConfigSchema.parse(config), origin: 'managed', when });
  }
  await apply(link(app, 'config'), link(app, 'layer'), link(app, 'other'));
  await apply({ type: 'manifest.put', at: app, manifest: manifest('one', when) }, tag(app, '1', 'one'));
  await apply(tag(app, 'latest', 'one'));
  await apply({ type: 'manifest.put', at: app, manifest: manifest('two', when) }, tag(app, 'latest', 'two'));
  await apply({ type: 'manifest.put', at: app, manifest: manifest('three', when, { references: [of('other')] }) });
  await apply(tag(app, 'old', 'three'));
  const until = when + 1e9;
  await apply({ type: 'manifest.delete', at: app, digest: of('three'), when, trashUntil: until });
  await apply({ type: 'blob.unlink', at: app, digest: of('other'), when });
  const subject = { subject: of('one'), artifactType: 'application/vnd.example', annotations: { a: 'b' } };
  await apply({ type: 'manifest.put', at: app, manifest: manifest('signature', when, { ...subject, references: [] }) });
  const children = { mediaType: types.ociIndex, references: [of('one'), of('two')], contentBytes: 0 };
  await apply({ type: 'manifest.put', at: app, manifest: manifest('index', when, children) });
  await apply({ type: 'manifest.pulled', at: app, digest: of('one'), count: 3, when });
  await apply(link(cached, 'cached'));
  await apply({ type: 'manifest.put', at: cached, manifest: manifest('lost', when, { references: [of('cached')] }) });
  await apply(tag(cached, '3', 'lost', { checkedAt: when }));
  await apply({ type: 'cache.touched', at: cached, digests: [of('cached'), of('lost')], when });
  const gone: ImageKey = { repository: 'gone', image: 'app' };
  await apply(link(gone, 'layer'));
  await apply({ type: 'repository.delete', name: 'gone', when });
  for (const [kind, id] of documents) await apply({ type: 'document.put', kind, id, value: { id, nested: [when] } });
  const sample: Sample = { at: 1_799_996_400_000, repositories: {} };
  await apply({ type: 'sample.put', step: 'hour', sample }, { type: 'sample.put', step: 'day', sample });
}

/** Returns everything that an index of `fillIndex` says. */
export async function describeIndex(metadata: MetadataStore): Promise<object> {
  const page = { limit: 1000 };
  const images: unknown[] = [];
  for (const at of [app, cached]) {
    const { items: manifests } = await metadata.inventory.manifests(at, page);
    const { items: tags } = await metadata.tags(at, page);
    images.push({
      image: await metadata.image(at),
      manifests: await Promise.all(
        manifests.map(async (record) => [record, await metadata.inventory.holders(at, record.digest)]),
      ),
      referrers: await metadata.referrers(at, of('one'), page),
      tags,
      moves: await Promise.all(['1', 'latest', 'old'].map((name) => metadata.journal.moves(at, name as Tag, page))),
      losses: [...(await metadata.journal.losses(at))],
      pulls: await metadata.pulls.list(at),
      links: await Promise.all(contents.map((name) => metadata.link(at, of(name)))),
      named: await Promise.all(contents.map((name) => metadata.isNamed(at, of(name)))),
      trash: await metadata.trash.list(at.repository, page),
      evictable: await metadata.evictable(at.repository, page),
      usage: await metadata.usage(at.repository),
      unique: await metadata.inventory.uniqueBytes(at),
    });
  }
  return {
    repositories: await metadata.repositories(),
    images,
    documents: await Promise.all(documents.map(([kind]) => metadata.documents(kind))),
    journal: await metadata.journal.read({ after: 0, limit: 1000 }),
    trimmedTo: await metadata.journal.trimmedTo(),
    samples: await metadata.samples.read('hour', { since: 0, before: Infinity }),
    candidates: await metadata.candidates(Number.MAX_SAFE_INTEGER, 1000),
    references: await metadata.contents.references(page),
    stored: (await metadata.inventory.storedBytes()).bytes,
  };
}
