import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { basic, pushImage, startAccess, type AccessScene, type Ask } from '../../support/access/access.js';
import type { Answer } from '../../support/clients/client.js';
import { describeManifest, digest, imageManifest } from '../../support/content/content.js';
import { startFaultUpstream, type FaultUpstream } from '../../support/upstreams/fault-upstream.js';
import { Cleanups } from '../../support/upstreams/remote.js';

const cleanups = new Cleanups();
const kinds = ['own', 'hub', 'through', 'all'] as const;
type Kind = (typeof kinds)[number];

/** A way to address the images of a repository. */
interface Form {
  readonly headers: Readonly<Record<string, string>>;
  /** Precedes the image in names. */
  readonly prefix: string;
  /** The query of every read. */
  readonly query: string;
}

const forms: Readonly<Record<string, (kind: Kind) => Form>> = {
  path: (kind) => ({ headers: {}, prefix: `${kind}/`, query: '' }),
  host: (kind) => ({ headers: { Host: `${kind}.example.com` }, prefix: '', query: '' }),
  namespace: (kind) => ({ headers: {}, prefix: '', query: `ns=${kind}.example.net` }),
  'namespace and path': (kind) => ({ headers: {}, prefix: `${kind}/`, query: `ns=${kind}.example.net` }),
};
const rows = Object.keys(forms).flatMap((form) => kinds.map((kind) => [form, kind] as const));

let fault: FaultUpstream;
let scene: AccessScene;
let root: Ask;
beforeEach(async () => {
  fault = await startFaultUpstream();
  cleanups.add(() => fault.close());
  scene = await startAccess(cleanups, {
    users: ['root', 'reader'],
    access: {
      rules: [
        { users: ['root'], allow: ['admin'] },
        { users: ['reader'], allow: ['pull'] },
      ],
    },
    repositories: [
      { name: 'own', type: 'local', sparse: true },
      { name: 'hub', type: 'remote', url: fault.url },
      { name: 'through', type: 'remote', url: fault.url, cache: false, redirects: 'pass' },
      { name: 'all', type: 'virtual', members: ['own', 'hub'], pushTo: 'own' },
    ],
    hosts: Object.fromEntries(kinds.map((kind) => [`${kind}.example.com`, kind])),
    namespaces: Object.fromEntries(kinds.map((kind) => [`${kind}.example.net`, kind])),
    defaultRepository: 'own',
  });
  root = scene.as(basic('root'));
});
afterEach(() => cleanups.run());

/** Sends reads in one form. A path in an answer is requested as it is. */
function reading({ headers, prefix, query }: Form, ask = root) {
  const send = (path: string): Promise<Answer> => ask('GET', path, { headers });
  const at = (image: string, rest: string): Promise<Answer> => {
    const separator = rest.includes('?') ? '&' : '?';
    return send(`/v2/${prefix}${image}${rest}${query === '' ? '' : separator + query}`);
  };
  const pages = async (first: Promise<Answer>, field: string): Promise<unknown[]> => {
    const items: unknown[] = [];
    for (let answer = await first; ; answer = await send(answer.next ?? '')) {
      expect(answer.status, answer.body.toString()).toBe(200);
      items.push(...((answer.json() as Record<string, unknown[]>)[field] ?? []));
      if (answer.next === undefined) return items;
    }
  };
  return { send, at, pages };
}

async function fill(): Promise<{ readonly subject: string; readonly layer: string }> {
  const { manifest, layers } = fault.images.addImage('team/app', 'v1');
  for (const tag of ['v2', 'v3']) {
    const referrer = imageManifest(tag, { subject: describeManifest(manifest) });
    fault.images.addManifest('team/app', referrer, tag);
    const headers = { 'Content-Type': referrer.type };
    await root('PUT', `/v2/own/team/app/manifests/${tag}`, { headers, body: referrer.bytes });
  }
  const headers = { 'Content-Type': manifest.type };
  await root('PUT', '/v2/own/team/app/manifests/v1', { headers, body: manifest.bytes });
  await root('GET', '/v2/hub/team/app/manifests/v1');
  return { subject: manifest.digest, layer: layers[0]?.digest ?? '' };
}

describe.each(rows)('an answer to a read addressed by %s in %s', (form, kind) => {
  const addressed = (forms[form] as (kind: Kind) => Form)(kind);
  const { prefix } = addressed;

  it('has a list of tags with the name and the links of the client', async () => {
    await fill();
    const { at, pages } = reading(addressed);
    const first = await at('team/app', '/tags/list?n=1');
    expect(first.json()).toEqual({ name: `${prefix}team/app`, tags: ['v1'] });
    expect(first.next?.startsWith(`/v2/${prefix}team/app/tags/list?`)).toBe(true);
    expect(await pages(Promise.resolve(first), 'tags')).toEqual(['v1', 'v2', 'v3']);
  });

  it('has a list of referrers with links of the client', async () => {
    const { subject } = await fill();
    const { at, pages } = reading(addressed);
    const first = await at('team/app', `/referrers/${subject}?n=1`);
    expect(first.next?.startsWith(`/v2/${prefix}team/app/referrers/${subject}?`)).toBe(true);
    expect(await pages(Promise.resolve(first), 'manifests')).toHaveLength(2);
  });

  it('challenges with the scope of the client, whose token then opens the image', async () => {
    await fill();
    const refused = await reading(addressed, scene.ask).at('team/app', '/manifests/v1');
    const [, scope = ''] = /scope="([^"]+)"/.exec(refused.header('www-authenticate')) ?? [];
    expect([refused.status, scope]).toEqual([401, `repository:${prefix}team/app:pull`]);
    // The realm may be at another host, where the name means something else.
    for (const host of [addressed.headers['Host'] ?? '127.0.0.1', '127.0.0.1']) {
      const query = new URLSearchParams({ scope }).toString();
      const headers = { Authorization: basic('reader'), Host: host };
      const { token } = (await scene.ask('GET', `/v2/token?${query}`, { headers })).json() as { token: string };
      const opened = reading(addressed, scene.as(`Bearer ${token}`));
      expect((await opened.at('team/app', '/manifests/v1')).status).toBe(200);
    }
  });
});

describe.each(Object.keys(forms))('a redirect within the upstream, addressed by %s', (form) => {
  it('leads back in the same form', async () => {
    const { layer } = await fill();
    const addressed = (forms[form] as (kind: Kind) => Form)('through');
    const { at, send } = reading(addressed);
    fault.fault('/blobs/', { redirect: 'here', times: 1 });
    const passed = await at('team/app', `/blobs/${layer}`);
    expect(passed.status).toBe(307);
    expect(passed.header('location').startsWith(`/v2/${addressed.prefix}team/app/blobs/${layer}?`)).toBe(true);
    expect(digest((await send(passed.header('location'))).body)).toBe(layer);
  });
});

describe('the catalog', () => {
  const images = (kind: Kind): string[] => (kind === 'through' ? [] : ['other', 'team/app', 'team/lib']);
  beforeEach(async () => {
    for (const image of images('own')) {
      await pushImage(root, `own/${image}`);
      fault.images.addImage(image, 'v1');
      await root('GET', `/v2/hub/${image}/manifests/v1`);
    }
  });

  it.each(kinds)('at the host of %s has its images without its name, in all pages', async (kind) => {
    const { send, pages } = reading((forms['host'] as (kind: Kind) => Form)(kind));
    const found = await pages(send('/v2/_catalog?n=1'), 'repositories');
    expect(found).toEqual(images(kind));
    for (const name of found) expect((await send(`/v2/${String(name)}/tags/list`)).status).toBe(200);
  });

  it.each(kinds)('in the namespace of %s has its images without its name, in all pages', async (kind) => {
    const { send, pages } = reading((forms['namespace'] as (kind: Kind) => Form)(kind));
    expect(await pages(send(`/v2/_catalog?n=1&ns=${kind}.example.net`), 'repositories')).toEqual(images(kind));
  });

  it.each(['/v2/_catalog?n=2', '/v2/_catalog?n=2&ns=unknown.example'])(
    'has all names with their repository elsewhere, although there is a default repository: %s',
    async (path) => {
      const { send, pages } = reading((forms['path'] as (kind: Kind) => Form)('own'));
      const expected = ['all', 'hub', 'own'].flatMap((name) => images('own').map((image) => `${name}/${image}`));
      expect(await pages(send(path), 'repositories')).toEqual(expected);
    },
  );

  it('at a host shows only images that the caller may pull', async () => {
    const { send } = reading((forms['host'] as (kind: Kind) => Form)('own'), scene.ask);
    expect((await send('/v2/_catalog')).status).toBe(401);
  });
});

describe.each(['path', 'host'])('an answer to a push addressed by %s', (form) => {
  it.each(['own', 'all'] as const)('has locations with the name of the client, in %s', async (kind) => {
    const { headers, prefix } = (forms[form] as (kind: Kind) => Form)(kind);
    const name = `/v2/${prefix}team/new`;
    const started = await root('POST', `${name}/blobs/uploads/`, { headers });
    const upload = started.header('location');
    expect(upload.startsWith(`${name}/blobs/uploads/`)).toBe(true);
    const appended = await root('PATCH', upload, { headers, body: 'layer' });
    expect(appended.header('location')).toBe(upload);
    expect((await root('GET', upload, { headers })).header('location')).toBe(upload);
    const finished = await root('PUT', `${upload}?digest=${digest('layer')}`, { headers });
    expect([finished.status, finished.header('location')]).toEqual([201, `${name}/blobs/${digest('layer')}`]);
    const from = `${prefix}team/new`;
    const other = `/v2/${prefix}team/other`;
    const mounted = await root('POST', `${other}/blobs/uploads/?mount=${digest('layer')}&from=${from}`, { headers });
    expect([mounted.status, mounted.header('location')]).toEqual([201, `${other}/blobs/${digest('layer')}`]);
    const manifest = imageManifest('pushed');
    const typed = { ...headers, 'Content-Type': manifest.type };
    const put = await root('PUT', `${name}/manifests/v1`, { headers: typed, body: manifest.bytes });
    expect([put.status, put.header('location')]).toEqual([201, `${name}/manifests/${manifest.digest}`]);
  });
});
