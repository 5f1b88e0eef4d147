import { localConfig } from '../support/storage/local-config.js';
import { describe, expect, it } from 'vitest';
import { ConflictError } from '../../src/util/conflict-error.js';
import type { DocumentKind } from '../../src/ports/metadata/documents.js';
import type { Candidate, Change, MetadataStore } from '../../src/ports/metadata/metadata.js';
import { cache } from './metadata-cache.js';
import { deletedRepositories, garbage, type Candidates, type Write } from './metadata-garbage.js';
import {
  at,
  collect,
  deleteManifest,
  digest,
  link,
  manifest,
  putManifest,
  record,
  repository,
  session,
  tag,
  tagName,
  unlink,
} from './metadata-samples.js';

const whole = { limit: 100 };

/** Tests what each change does to later reads. */
export function metadataChangesContract(current: () => MetadataStore): void {
  const write = (...changes: Change[]) => current().apply(changes, { durable: false });
  const candidates = async () => (await current().candidates(Infinity, 100)).map(format).sort();
  describe('repositories', () => repositories(current, write));
  describe('blobs', () => blobs(current, write, candidates));
  describe('manifests', () => manifests(current, write, candidates));
  describe('tags and sessions', () => tagsAndSessions(current, write));
  describe('cached content', () => cache(current, write));
  describe('candidates and condemned bytes', () => garbage(current, write, candidates));
  describe('documents', () => documents(current, write));
  describe('deleted repositories', () => deletedRepositories(current, write, candidates));
}

function format(candidate: Candidate): string {
  const name = ['l', 'k', 'm', 'n', 'x'].find((text) => digest(text) === candidate.digest);
  return `${candidate.kind} ${candidate.kind === 'link' ? `${candidate.at.repository}/${candidate.at.image} ` : ''}${name} ${candidate.since}`;
}

function repositories(current: () => MetadataStore, write: Write): void {
  it('are created, replaced and listed by name', async () => {
    await write(repository('a', 5, 'first'), repository('a', 6, 'second'));
    const config = localConfig('a', { sparse: true, trashSeconds: 0, description: 'second' });
    expect(await current().repository('a')).toEqual({ config, origin: 'managed', createdAt: 5, updatedAt: 6 });
    expect((await current().repositories()).map((record) => record.config.name)).toEqual(['a', 'r', 's']);
    expect(await current().repository('x')).toBeUndefined();
  });

  it('can be required to be exactly the known ones, as they last changed', async () => {
    const known = (await current().repositories()).map(({ config: { name }, updatedAt }) => ({ name, updatedAt }));
    const attempt = (are: typeof known, ...changes: Change[]) =>
      current().tryApply(changes, { durable: false, require: [{ type: 'repositories', are }] });
    expect(await attempt(known, repository('a', 5), repository('a', 6))).toBe(true);
    expect(await attempt(known, link('l', 1))).toBe(false);
    const [r = { name: 'r', updatedAt: 0 }, ...rest] = known;
    const a = { name: 'a', updatedAt: 6 };
    expect(await attempt([a, { ...r, updatedAt: r.updatedAt + 1 }, ...rest], link('l', 1))).toBe(false);
    expect(await attempt([a, { ...r, name: 'x' }, ...rest], link('l', 1))).toBe(false);
    expect(await attempt([a, ...known], link('l', 1), { type: 'repository.delete', name: 'a', when: 7 })).toBe(true);
    expect(await attempt(known, link('l', 1))).toBe(true);
    const outcomes = await Promise.all(['b', 'c'].map((name) => attempt(known, repository(name, 8))));
    expect(outcomes.filter((isApplied) => isApplied)).toHaveLength(1);
  });

  const unknown = { repository: 'x', image: 'y' };
  const changes: Change[] = [
    { type: 'repository.delete', name: 'x', when: 1 },
    link('l', 1, unknown),
    unlink('l', 1, unknown),
    { type: 'manifest.put', at: unknown, manifest: manifest('m') },
    { type: 'manifest.delete', at: unknown, digest: digest('m'), when: 1 },
    { type: 'tag.put', at: unknown, tag: { name: tagName('t'), digest: digest('m'), updatedAt: 1 } },
    { type: 'tag.delete', at: unknown, tag: tagName('t') },
    { type: 'session.put', session: session('1', unknown) },
    { type: 'candidate.put', candidate: { kind: 'link', at: unknown, digest: digest('l'), since: 1 } },
    { type: 'cache.touched', at: unknown, digests: [], when: 1 },
    { type: 'trash.restore', at: unknown, digest: digest('m') },
    { type: 'trash.delete', at: unknown, digest: digest('m'), since: 1 },
    { type: 'manifest.pulled', at: unknown, digest: digest('m'), count: 1, when: 1 },
    { type: 'candidate.delete', candidate: { kind: 'link', at: unknown, digest: digest('l'), since: 1 } },
  ];
  it.each(changes)('that do not exist make $type a conflict, which changes nothing', async (change) => {
    await expect(write(link('l', 1), change)).rejects.toThrow(ConflictError);
    expect(await current().link(at, digest('l'))).toBeUndefined();
    expect(await current().candidates(Infinity, 9)).toEqual([]);
  });

  it('that do not exist are empty', async () => {
    const store = current();
    const empty = { items: [], more: false };
    expect(await store.manifest(unknown, digest('m'))).toBeUndefined();
    expect(await store.tag(unknown, tagName('t'))).toBeUndefined();
    expect(await store.taggedManifest(unknown, tagName('t'))).toBeUndefined();
    expect(await store.link(unknown, digest('l'))).toBeUndefined();
    expect(await store.isNamed(unknown, digest('l'))).toBe(false);
    expect(await store.image(unknown)).toBeUndefined();
    expect([await store.evictable('x', whole), await store.usage('x')]).toEqual([[], 0]);
    expect([await store.tags(unknown, whole), await store.images('x', whole)]).toEqual([empty, empty]);
    expect(await store.referrers(unknown, digest('m'), whole)).toEqual(empty);
  });

  it('can be created and filled in one write', async () => {
    await write(repository('a'), {
      type: 'manifest.put',
      at: { repository: 'a', image: 'i' },
      manifest: manifest('m'),
    });
    expect((await current().images('a', whole)).items).toMatchObject([{ image: 'i', manifests: 1, bytes: 100 }]);
  });
}

function blobs(current: () => MetadataStore, write: Write, candidates: Candidates): void {
  it('are linked to a single image', async () => {
    await write(link('l', 5));
    expect(await current().link(at, digest('l'))).toEqual({ size: 10, linkedAt: 5 });
    expect(await current().link({ ...at, image: 'other' }, digest('l'))).toBeUndefined();
    expect(await current().link({ ...at, repository: 's' }, digest('l'))).toBeUndefined();
    expect(await current().image(at)).toEqual({ image: at.image, manifests: 0, tags: 0, bytes: 10, updatedAt: 5 });
    expect((await current().images('r', whole)).items).toEqual([]);
    expect((await current().imagesLinking(digest('l'), whole)).items).toEqual([at]);
    expect(await current().isReferenced(digest('l'))).toBe(true);
    expect(await candidates()).toEqual(['link r/team/app l 5']);
  });

  it('get only a new time when linked again', async () => {
    await write(link('l', 5));
    await write(link('l', 9));
    expect(await current().link(at, digest('l'))).toEqual({ size: 10, linkedAt: 9 });
    expect(await current().image(at)).toMatchObject({ bytes: 10 });
    expect(await candidates()).toEqual(['link r/team/app l 5']);
  });

  it('are candidates until a manifest names them', async () => {
    await write(link('l', 5), link('k', 5));
    await write(...putManifest('m', { references: [digest('l')] }), link('l', 6));
    expect(await candidates()).toEqual(['link r/team/app k 5']);
    expect(await current().isNamed(at, digest('l'))).toBe(true);
    expect(await current().isNamed(at, digest('m'))).toBe(false);
  });

  it('are candidates when the manifest that names them was pushed before them', async () => {
    await write(...putManifest('m', { references: [digest('l')] }), link('l', 5));
    expect(await candidates()).toEqual(['link r/team/app l 5']);
    await write(...putManifest('m', { references: [digest('l')] }));
    expect(await candidates()).toEqual([]);
  });

  it('leave a candidate for their bytes when unlinked', async () => {
    await write(link('l', 5), link('l', 5, { repository: 's', image: 'i' }));
    await write(unlink('l', 7), unlink('k', 7));
    expect(await current().link(at, digest('l'))).toBeUndefined();
    expect(await current().image(at)).toBeUndefined();
    expect((await current().imagesLinking(digest('l'), whole)).items).toEqual([{ repository: 's', image: 'i' }]);
    expect(await candidates()).toEqual(['bytes l 7', 'link s/i l 5']);
    await write(unlink('l', 8, { repository: 's', image: 'i' }));
    expect(await current().isReferenced(digest('l'))).toBe(false);
    expect(await candidates()).toEqual(['bytes l 8']);
  });
}

function manifests(current: () => MetadataStore, write: Write, candidates: Candidates): void {
  it('are read as written', async () => {
    const annotations = { 'org.example': '"é\n' };
    const record = manifest('m', {
      artifactType: 'a/b',
      annotations,
      subject: digest('s'),
      references: [digest('l')],
      contentBytes: 7,
    });
    await write({ type: 'manifest.put', at, manifest: record });
    expect(await current().manifest(at, digest('m'))).toEqual(record);
    expect(await current().manifest({ ...at, image: 'x' }, digest('m'))).toBeUndefined();
    expect((await current().referrers(at, digest('s'), whole)).items).toEqual([record]);
    expect(await current().image(at)).toEqual({
      image: at.image,
      manifests: 1,
      tags: 0,
      bytes: 100,
      updatedAt: 1,
      pushedAt: 1,
    });
  });

  it('are counted once when put again, and changed references take effect', async () => {
    await write(link('l', 1), ...putManifest('m', { references: [digest('l')], subject: digest('s') }, 't'));
    await write(...putManifest('m', { references: [digest('k')], pushedAt: 9 }, 't'));
    expect(await current().image(at)).toEqual({
      image: at.image,
      manifests: 1,
      tags: 1,
      bytes: 110,
      updatedAt: 9,
      pushedAt: 9,
    });
    expect(await current().isNamed(at, digest('l'))).toBe(false);
    expect((await current().referrers(at, digest('s'), whole)).items).toEqual([]);
    expect(await candidates()).toEqual(['link r/team/app l 9']);
  });

  it('count once when they are also linked blobs', async () => {
    const bytes = async () => (await current().image(at))?.bytes;
    await write(link('m', 1), ...putManifest('m', { size: 10 }));
    expect(await bytes()).toBe(10);
    await write(unlink('m', 2));
    expect(await bytes()).toBe(10);
    await write(link('m', 3), deleteManifest('m', 4));
    expect(await bytes()).toBe(10);
    await write(unlink('m', 5));
    expect(await bytes()).toBeUndefined();
  });

  it('remove their tags when deleted, and leave candidates for their bytes and unreferenced links', async () => {
    await write(link('l', 1), link('k', 1));
    const settled = await current().candidates(Infinity, 9);
    await write(
      ...putManifest('m', { references: [digest('l'), digest('k'), digest('x')], subject: digest('s') }, 'a', 'b'),
    );
    await write(...putManifest('n', { references: [digest('k')] }, 'c'));
    await write(...settled.map((candidate): Change => ({ type: 'candidate.delete', candidate })));
    await write(deleteManifest('m', 8), deleteManifest('x', 8));
    expect((await current().tags(at, whole)).items.map(({ name }) => name)).toEqual(['c']);
    expect((await current().referrers(at, digest('s'), whole)).items).toEqual([]);
    expect(await current().isReferenced(digest('m'))).toBe(false);
    expect(await candidates()).toEqual(['bytes m 8', 'link r/team/app l 8']);
    expect(await current().image(at)).toEqual({
      image: at.image,
      manifests: 1,
      tags: 1,
      bytes: 120,
      updatedAt: 8,
      pushedAt: 1,
    });
    await write(deleteManifest('n', 9));
    expect((await current().images('r', whole)).items).toEqual([]);
    expect(await current().image(at)).toMatchObject({ manifests: 0, tags: 0, bytes: 20 });
  });
}

function tagsAndSessions(current: () => MetadataStore, write: Write): void {
  it('tags can only point to manifests of their image', async () => {
    await expect(write(tag('t', 'm'))).rejects.toThrow(ConflictError);
    await write({ type: 'manifest.put', at: { ...at, image: 'other' }, manifest: manifest('m') });
    await expect(write(tag('t', 'm'))).rejects.toThrow(ConflictError);
    await write(...putManifest('m'), tag('t', 'm', 4));
    expect(await current().tag(at, tagName('t'))).toEqual({ name: 't', digest: digest('m'), updatedAt: 4 });
    expect(await current().image(at)).toMatchObject({ tags: 1, updatedAt: 4 });
  });

  it('a moved tag is deleted only with its new manifest', async () => {
    await write(...putManifest('m', {}, 't'), ...putManifest('n'));
    await write(tag('t', 'n', 2));
    expect(await current().image(at)).toMatchObject({ manifests: 2, tags: 1 });
    await write(deleteManifest('m', 3));
    expect(await current().tag(at, tagName('t'))).toMatchObject({ digest: digest('n') });
    await write(deleteManifest('n', 3));
    expect(await current().tag(at, tagName('t'))).toBeUndefined();
  });

  it('deleting a tag keeps its manifest', async () => {
    await write(...putManifest('m', {}, 't'));
    await write({ type: 'tag.delete', at, tag: tagName('t') }, { type: 'tag.delete', at, tag: tagName('u') });
    expect(await current().tag(at, tagName('t'))).toBeUndefined();
    expect(await current().image(at)).toMatchObject({ manifests: 1, tags: 0 });
    expect(await current().candidates(Infinity, 9)).toEqual([]);
  });

  it('sessions can be stored and deleted', async () => {
    const record = session('1', at);
    await write({ type: 'session.put', session: record });
    expect(await current().session(record.id)).toEqual(record);
    await write({ type: 'session.delete', id: record.id }, { type: 'session.delete', id: session('2', at).id });
    expect(await current().session(record.id)).toBeUndefined();
    expect(await collect(current().sessions())).toEqual([]);
  });
}

function documents(current: () => MetadataStore, write: Write): void {
  const idsOf = async (kind: DocumentKind) => (await current().documents(kind)).map(({ id }) => id);

  it('are read as written, by kind and id', async () => {
    const value = { name: 'é\n"', groups: ['a', 'b'], limits: [{ allow: ['pull'] }], at: 5, off: false, none: null };
    await write(record('account', 'ci', value), record('account-token', 'ci'), record('account', 'empty', {}));
    expect(await current().document('account', 'ci')).toEqual(value);
    expect(await current().document('account', 'empty')).toEqual({});
    expect(await current().document('account-token', 'ci')).toEqual({ id: 'ci' });
    expect(await current().document('rule', 'ci')).toBeUndefined();
    expect(await current().document('account', 'c')).toBeUndefined();
    expect(await current().documents('signing-key')).toEqual([]);
  });

  it('are listed in byte order of the id', async () => {
    const ids = ['', '1', '10', '2', 'A', '_', 'a', 'a b', 'ab', 'é', '\uFF5E', '\u{1F600}'];
    await write(...ids.toReversed().map((id) => record('rule', id)), record('account', 'x'));
    expect(await current().documents('rule')).toEqual(ids.map((id) => ({ id, value: { id } })));
  });

  it('are replaced as a whole and deleted, and lists follow', async () => {
    await write(record('rule', 'a', { one: 1 }), record('rule', 'b'));
    expect(await idsOf('rule')).toEqual(['a', 'b']);
    await write(record('rule', 'a', { two: 2 }), record('rule', 'c'));
    expect(await current().document('rule', 'a')).toEqual({ two: 2 });
    expect(await idsOf('rule')).toEqual(['a', 'b', 'c']);
    const remove = (id: string): Change => ({ type: 'document.delete', kind: 'rule', id });
    await write(remove('a'), remove('missing'), record('rule', 'd'), remove('d'));
    expect(await current().document('rule', 'a')).toBeUndefined();
    expect(await idsOf('rule')).toEqual(['b', 'c']);
  });

  it('are written atomically with the other changes', async () => {
    await write(record('account', 'a'), record('account-token', 't'));
    const refused = current().apply(
      [record('account', 'b'), { type: 'document.delete', kind: 'account-token', id: 't' }, link('l', 1)],
      { durable: true, require: [{ type: 'document', kind: 'account', id: 'a', is: 'absent' }] },
    );
    await expect(refused).rejects.toThrow(ConflictError);
    const failed = write(record('account', 'b'), { type: 'repository.delete', name: 'x', when: 1 });
    await expect(failed).rejects.toThrow(ConflictError);
    expect([await idsOf('account'), await idsOf('account-token')]).toEqual([['a'], ['t']]);
    expect(await current().link(at, digest('l'))).toBeUndefined();
  });

  it('are created by exactly one of many concurrent writes that require their absence', async () => {
    const writes = Array.from({ length: 50 }, (_, i) =>
      current().apply([record('account', 'a', { i })], {
        durable: i % 2 === 0,
        require: [{ type: 'document', kind: 'account', id: 'a', is: 'absent' }],
      }),
    );
    const outcomes = (await Promise.allSettled(writes)).map(({ status }) => status);
    const winner = outcomes.indexOf('fulfilled');
    expect(outcomes.lastIndexOf('fulfilled')).toBe(winner);
    expect(await current().document('account', 'a')).toEqual({ i: winner });
  });

  it('have a revision per kind that changes only with each put and delete of the kind', async () => {
    const revision = () => current().documentRevision('rule');
    const revisions = [await revision()];
    const steps: Change[] = [
      record('rule', 'a'),
      record('rule', 'a', { two: 2 }),
      record('rule', 'b'),
      { type: 'document.delete', kind: 'rule', id: 'a' },
    ];
    for (const step of steps) {
      await write(step);
      revisions.push(await revision());
      await write(record('account', 'a'), link('l', 1));
      expect(await revision()).toBe(revisions.at(-1));
    }
    expect(new Set(revisions).size).toBe(revisions.length);
  });

  it('cannot be changed through the objects that were written or read', async () => {
    const value = { groups: ['a'] };
    await write(record('account', 'ci', value));
    value.groups.push('b');
    const read = (await current().document('account', 'ci')) as typeof value;
    const listed = (await current().documents('account')).map((found) => found.value as typeof value);
    expect(() => read.groups.push('c')).toThrow(TypeError);
    expect(() => listed[0]?.groups.push('d')).toThrow(TypeError);
    expect(await current().document('account', 'ci')).toEqual({ groups: ['a'] });
  });
}
