import { readFileSync } from 'node:fs';
import path from 'node:path';
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { digestOf } from '../../../src/protocol/digest.js';
import { endpoints, registryRoutes } from '../../../src/protocol/tables/endpoints.js';
import type { OptionChange } from '../../../src/protocol/settings/option-changes.js';
import { managementEndpoints, managementRoutes } from '../../../src/protocol/tables/management.js';
import { eventually } from '../../support/eventually.js';
import { basic, form, json, startAccess, type AccessScene, type Ask } from '../../support/access/access.js';
import { buildImage, entriesOf, layoutOf, tarOf } from '../../support/content/archives.js';
import { Client, type Answer, type Method, type Send } from '../../support/clients/client.js';
import { digest, imageManifest, types } from '../../support/content/content.js';
import { startRegistry } from '../../support/servers/registry.js';
import { operationsOf, type Content, type OpenApi, type Operation } from '../../support/openapi.js';
import { startFaultUpstream } from '../../support/upstreams/fault-upstream.js';
import { Cleanups } from '../../support/upstreams/remote.js';

const file = path.join(import.meta.dirname, '../../../docs/openapi.json');
const document = JSON.parse(readFileSync(file, 'utf8')) as OpenApi;
const operations = operationsOf(document);

const ajv = new Ajv2020({ strict: false, validateFormats: false, allErrors: true });
ajv.addSchema(document, 'openapi');

/** By text: compiling a schema takes longer than a request. */
const compiled = new Map<string, ValidateFunction>();

/** What is wrong with a value by a schema of the document. */
function problemsOf(value: unknown, schema: object): unknown {
  const text = JSON.stringify(schema).replaceAll('"#/components', '"openapi#/components');
  const validate = compiled.get(text) ?? ajv.compile(JSON.parse(text) as object);
  compiled.set(text, validate);
  return validate(value) ? undefined : validate.errors;
}

const name = '/v2/local/team/app';
const api = '/api/v1';
const blob = Buffer.from('a blob');
const manifest = imageManifest('openapi');
const credentials = { username: 'me', password: 'secret' };
const local = { name: 'made', package_type: 'docker', repo_type: 'local', sparse: 'indexes' };
const remote = {
  ...local,
  name: 'far',
  repo_type: 'remote',
  sparse: undefined,
  url: 'http://127.0.0.1:1',
  credentials,
};
const virtual = { ...local, name: 'both', repo_type: 'virtual', sparse: undefined, members: ['made'], push_to: 'made' };
const rule = { names: 'made/**', users: ['robot'], allow: ['pull'] };

/** There when there is something to say. */
const optionalHeaders = new Set(['Link', 'OCI-Subject', 'OCI-Tag', 'OCI-Filters-Applied']);

describe('docs/openapi.json', () => {
  const cleanups = new Cleanups();
  const seen = new Set<string>();
  let scene: AccessScene;
  let ask: Ask;

  beforeAll(async () => {
    const rules = [
      { users: ['root'], allow: ['admin'] },
      { users: ['reader'], names: 'local', allow: ['pull'] },
    ] as const;
    const repositories = [{ name: 'local', type: 'local', sparse: true }] as const;
    const retention = { policies: [{ names: ['local/**'], keep: [{ tags: ['none'] }] }] };
    scene = await startAccess(cleanups, {
      users: ['root', 'reader'],
      access: {
        rules,
        login: [{ name: 'acme', title: 'Acme', issuer: 'http://127.0.0.1:1', clientId: 'x', user: 'sub' }],
      },
      repositories,
      retention,
      metrics: true,
    });
    ask = scene.as(basic('root'));
  });
  afterAll(() => cleanups.run());

  /** Sends a request, and holds it and its answer to the document. */
  async function exchange(method: Method, url: string, expected: number, send: Send = {}, by = ask): Promise<Answer> {
    const routes = url.startsWith('/v2') ? registryRoutes : managementRoutes;
    const op = routes.match(method, url.replace(/\?.*/, ''))?.row.op ?? '';
    seen.add(op);
    const operation = operations.get(op);
    if (operation === undefined) throw new Error(`the document has no ${op}`);
    const answer = await by(method, url, send);
    expect(answer.status, answer.body.toString()).toBe(expected);
    expectRequest(operation, url, send);
    expectAnswer(operation, answer, method);
    return answer;
  }

  function expectRequest(operation: Operation, url: string, { headers, body }: Send): void {
    const asked = [...new URL(url, 'http://host').searchParams.keys()];
    const known = (operation.parameters ?? []).filter((parameter) => parameter.in === 'query');
    expect(known.map((parameter) => parameter.name)).toEqual(expect.arrayContaining(asked));
    if (body === undefined) return;
    const type = String(headers?.['Content-Type'] ?? 'application/octet-stream');
    expect(Object.keys(operation.requestBody?.content ?? {})).toContain(type);
    if (type === json['Content-Type'] && typeof body === 'string') expectJson(operation.requestBody, type, body);
  }

  function expectAnswer(operation: Operation, answer: Answer, method: Method): void {
    const described = operation.responses[answer.status];
    expect(described, `${operation.operationId} says nothing of ${answer.status}`).toBeDefined();
    for (const header of Object.keys(described?.headers ?? {})) {
      if (!optionalHeaders.has(header)) expect(answer.header(header), header).not.toBe('');
    }
    if (method === 'HEAD') return;
    const types = Object.keys(described?.content ?? {});
    expect(types.length > 0).toBe(answer.body.length > 0);
    if (types.length > 0) expectJson(described, answer.header('content-type'), answer.body.toString());
  }

  function expectJson(described: Content | undefined, type: string, text: string): void {
    const [essence = ''] = type.split(';');
    expect(Object.keys(described?.content ?? {})).toContain(essence);
    const schema = essence === 'text/plain' ? undefined : described?.content?.[essence]?.schema;
    if (schema !== undefined) expect(problemsOf(JSON.parse(text), schema), text).toBeUndefined();
  }

  const post = (url: string, value: object, expected = 201): Promise<Answer> =>
    exchange('POST', api + url, expected, { headers: json, body: JSON.stringify(value) });
  const put = (url: string, value: object): Promise<Answer> =>
    exchange('PUT', api + url, 200, { headers: json, body: JSON.stringify(value) });

  it('describes the answers of the registry', async () => {
    await exchange('GET', '/v2/', 200);
    await exchange('GET', `${api}/session`, 200);
    const served = await exchange('GET', `${api}/openapi.json`, 200);
    expect(JSON.parse(served.body.toString())).toEqual(document);
    await post('/session', { username: 'root', password: 'password of root' }, 200);
    const own = (await post('/session/tokens', {})).body.toString();
    await exchange('GET', `${api}/session/tokens`, 200);
    await exchange('DELETE', `${api}/session/tokens/${(JSON.parse(own) as { id: string }).id}`, 204);
    await exchange('GET', `${api}/session/oidc/acme`, 302);
    await exchange('GET', `${api}/session/oidc/acme/callback`, 302);
    const listed = await exchange('GET', `${api}/sessions`, 200);
    const { sessions } = JSON.parse(listed.body.toString()) as { sessions: readonly { id: string }[] };
    await exchange('DELETE', `${api}/sessions/${sessions[0]?.id}`, 204);
    await exchange('DELETE', `${api}/sessions`, 200);
    await exchange('DELETE', `${api}/session`, 204);
    await exchange('POST', `${api}/selftest/body`, 200, { body: blob });
    await exchange('HEAD', '/v2/', 200);
    await exchange('GET', '/v2/token?scope=repository:local/team/app:pull&service=x&offline_token=true', 200);
    const login = new URLSearchParams({ grant_type: 'password', username: 'root', password: 'password of root' });
    await exchange('POST', '/v2/token', 200, { headers: form, body: login.toString() });
    const { headers } = await exchange('POST', `${name}/blobs/uploads/?digest-algorithm=sha256`, 202);
    const upload = String(headers['location']);
    const range = { 'Content-Range': `0-${blob.length - 1}` };
    await exchange('PATCH', upload, 202, { headers: range, body: blob });
    await exchange('GET', upload, 204);
    await exchange('HEAD', upload, 204);
    await exchange('PUT', `${upload}?digest=${digest(blob)}`, 201);
    const other = await exchange('POST', `${name}/blobs/uploads/`, 202);
    await exchange('DELETE', other.header('location'), 204);
    await exchange('POST', `/v2/local/copy/blobs/uploads/?mount=${digest(blob)}&from=local/team/app`, 201);
    const layer = `${name}/blobs/${digest(blob)}`;
    await exchange('HEAD', layer, 200);
    await exchange('GET', layer, 200);
    await exchange('GET', `${layer}?ns=docker.io`, 206, { headers: { Range: 'bytes=1-2' } });
    await exchange('GET', layer, 304, { headers: { 'If-None-Match': `"${digest(blob)}"` } });
    const pushed = { headers: { 'Content-Type': manifest.type }, body: manifest.bytes };
    await exchange('PUT', `${name}/manifests/${manifest.digest}?tag=a&tag=b`, 201, pushed);
    await exchange('HEAD', `${name}/manifests/a`, 200);
    await exchange('GET', `${name}/manifests/a`, 200);
    await exchange('GET', `${name}/tags/list?n=1`, 200);
    await exchange('GET', `${name}/referrers/${manifest.digest}?artifactType=${types.ociConfig}`, 200);
    await exchange('GET', '/v2/_catalog?n=10&last=a', 200);
    await exchange('DELETE', `${name}/manifests/b`, 202);
    await exchange('DELETE', layer, 202);
  });

  it('describes the answers of the management API', async () => {
    await exchange('GET', `${api}/health`, 200);
    for (const repository of [local, remote, virtual]) await post('/repositories', repository);
    await exchange('GET', `${api}/repositories`, 200);
    await exchange('GET', `${api}/repositories`, 200, {}, scene.as(basic('reader')));
    for (const { name } of [local, remote, virtual]) {
      const shown = await exchange('GET', `${api}/repositories/${name}`, 200);
      // What is shown can be edited and put back; and the name may be missing.
      await put(`/repositories/${name}`, shown.json() as object);
    }
    await put('/repositories/far', { ...remote, name: undefined, credentials: null, pins: ['team/*'] });
    await exchange('GET', `${api}/repositories/local/images?n=1`, 200);
    await exchange('GET', `${api}/repositories/local/images/team/app/tags`, 200);
    const archive = await tarOf(entriesOf(layoutOf(buildImage('openapi'), 'team/archived:1')));
    await exchange('POST', `${api}/repositories/made/import?tag=2`, 201, { body: archive });
    await exchange('GET', `${api}/repositories/made/export?name=team/archived:2&platform=linux/amd64`, 200);
    await exchange('DELETE', `${api}/repositories/far/cache?dry_run=true`, 200);
    await exchange('DELETE', `${api}/repositories/far/cache?image=team/app&tag=1`, 200);
    await exchange('POST', `${api}/repositories/far/probe`, 200);
    const upstream = await startFaultUpstream();
    cleanups.add(() => upstream.close());
    await put('/repositories/far', { ...remote, name: undefined, url: upstream.url });
    await exchange('POST', `${api}/repositories/far/probe`, 200);
    await exchange('POST', `${api}/repositories/far/refresh?image=team/app&tag=none`, 200);
    upstream.images.addImage('team/app', '1');
    await exchange('POST', `${api}/repositories/far/refresh?image=team/app&tag=1`, 200);
    await exchange('DELETE', `${api}/repositories/far?dry_run=true`, 200);
    for (const at of ['local/team/app', 'far/team/app', 'both/team/app']) {
      await exchange('GET', `${api}/explain?name=${at}&reference=a`, 200);
    }
    await exchange('GET', `${api}/repositories/local/immutable?tag=1`, 200);
    await put('/quotas', { quotas: [{ names: 'local', max_bytes: 1e9 }] });
    await exchange('GET', `${api}/quotas`, 200);
    await exchange('POST', `${api}/gc?dry_run=true`, 200);
    for (const { name } of [virtual, remote, local]) await exchange('DELETE', `${api}/repositories/${name}`, 204);
  });

  it('describes deletions and tag moves', async () => {
    await post('/repositories', { name: 'changing', package_type: 'docker', repo_type: 'local', sparse: true });
    const image = '/repositories/changing/images/changed';
    for (const label of ['a', 'b']) {
      const { bytes, type } = imageManifest(`changed ${label}`);
      await exchange('PUT', `/v2/changing/changed/manifests/${label}`, 201, {
        headers: { 'Content-Type': type },
        body: bytes,
      });
    }
    await post(`${image}/tag`, { tag: 'c', reference: 'a', expected: null }, 200);
    await exchange('GET', `${api}/images?q=*&sort=-pushed_at&unique=true&repository=changing`, 200);
    await exchange('GET', `${api}${image}/tags?sort=size`, 200);
    await exchange('GET', `${api}${image}/tags?untagged=true`, 200);
    await exchange('GET', `${api}${image}/summary`, 200);
    await exchange('GET', `${api}${image}/manifest?reference=a`, 200);
    await exchange('GET', `${api}${image}/history?tag=a&n=1`, 200);
    await exchange('GET', `${api}${image}/blob?digest=${imageManifest('changed a').digest}`, 200);
    const wanted = { tags: ['a', 'b', 'absent'], dry_run: true };
    const { body } = await post(`${image}/delete`, wanted, 200);
    expect(JSON.parse(body.toString())).toMatchObject({ counts: { tags: 2, manifests: 1, stays: 1, refused: 1 } });
    await post(`${image}/delete`, { all: true }, 200);
  });

  it('describes accounts, tokens, rules and keys', async () => {
    await post('/accounts', { name: 'robot', groups: ['team'] });
    await exchange('GET', `${api}/accounts`, 200);
    await put('/accounts/robot', (await exchange('GET', `${api}/accounts/robot`, 200)).json() as object);
    const limits = [{ names: 'local/**', allow: ['pull'] }];
    const { id } = (await post('/accounts/robot/tokens', { limits, expires_in_seconds: 60 })).json() as { id: string };
    await post('/accounts/robot/tokens', {});
    await exchange('GET', `${api}/accounts/robot/tokens`, 200);
    await exchange('DELETE', `${api}/accounts/robot/tokens/${id}`, 204);
    await exchange('DELETE', `${api}/accounts/robot`, 204);
    await exchange('GET', `${api}/access/people`, 200);
    // Only someone whom a provider or the host application knows can be changed, and such an answer is a row of the list.
    const person = `${api}/access/people/root`;
    const disable = { headers: json, body: JSON.stringify({ disabled: true }) };
    expect((await ask('PUT', person, disable)).codes).toEqual(['CONFLICT']);
    expect((await ask('DELETE', person)).codes).toEqual(['CONFLICT']);
    for (const op of ['person.replace', 'person.delete']) seen.add(op);
    const replace = operations.get('person.replace');
    if (replace === undefined) throw new Error('the document has no person.replace');
    expectRequest(replace, person, disable);
    await exchange('GET', `${api}/access/check?user=robot&groups=team&image=local/team/app`, 200);
    await exchange('GET', `${api}/access/check?anonymous=true&permission=pull`, 200);
    const made = (await post('/rules', rule)).json() as { id: string };
    await exchange('GET', `${api}/rules`, 200);
    await put(`/rules/${made.id}`, (await exchange('GET', `${api}/rules/${made.id}`, 200)).json() as object);
    await exchange('DELETE', `${api}/rules/${made.id}`, 204);
    await exchange('GET', `${api}/keys`, 200);
    await exchange('POST', `${api}/keys`, 201);
  });

  it('describes jobs', async () => {
    const { id } = (await post('/jobs', { kind: 'garbage', dry_run: true }, 202)).json() as { id: string };
    await exchange('GET', `${api}/jobs?kind=garbage&n=5`, 200);
    await eventually(async () => {
      const { body } = await exchange('GET', `${api}/jobs/${id}`, 200);
      expect(JSON.parse(body.toString())).toMatchObject({ state: 'succeeded', report: { dry_run: true } });
    });
    // Only other kinds wait for a confirmation.
    expect((await ask('POST', `${api}/jobs/${id}/confirm`)).codes).toEqual(['CONFLICT']);
    seen.add('job.confirm');
    await exchange('DELETE', `${api}/jobs/${id}`, 204);
  });

  it('describes the plan of a retention', async () => {
    const { id } = (await post('/jobs', { kind: 'retention', dry_run: true }, 202)).json() as { id: string };
    await eventually(async () => {
      const { body } = await exchange('GET', `${api}/jobs/${id}/plan?n=1`, 200);
      expect(JSON.parse(body.toString())).toMatchObject({ items: [{ kind: 'tag', image: 'team/app' }] });
    });
  });

  it('describes syncs', async () => {
    await post('/repositories', { ...remote, name: 'upstream' });
    const sync = { name: 'nightly', from: 'upstream', to: 'local', images: ['app'], platforms: ['linux/amd64'] };
    await post('/syncs', { ...sync, semver: '>=1', referrers: true, every_seconds: 0, delete: true });
    const { id } = (await post('/jobs', { kind: 'sync', sync: 'nightly' }, 202)).json() as { id: string };
    await eventually(async () => {
      const { body } = await exchange('GET', `${api}/syncs/nightly`, 200);
      expect(JSON.parse(body.toString())).toMatchObject({ status: { last_run: { job: id, state: 'partly' } } });
    });
    await exchange('GET', `${api}/syncs`, 200);
    await put('/syncs/nightly', (await exchange('GET', `${api}/syncs/nightly`, 200)).json() as object);
    await exchange('DELETE', `${api}/syncs/nightly`, 204);
  });

  it('describes webhooks', async () => {
    const webhook = { name: 'ci', url: 'http://127.0.0.1:1/', secret: 'a-secret-of-24-characters' };
    await post('/webhooks', {
      ...webhook,
      names: '**',
      headers: { 'X-Key': 'k' },
      format: 'cloudevents',
      events: ['repository'],
    });
    await post('/repositories', { ...local, name: 'watched' });
    const seq = await vi.waitFor(
      async () => {
        const { body } = await exchange('GET', `${api}/webhooks/ci/deliveries`, 200);
        const [{ seq }] = (JSON.parse(body.toString()) as { deliveries: [{ seq: number }] }).deliveries;
        return seq;
      },
      { timeout: 30_000 },
    );
    await exchange('POST', `${api}/webhooks/ci/deliveries/${seq}`, 202);
    await exchange('POST', `${api}/webhooks/ci/test`, 200);
    await exchange('GET', `${api}/webhooks`, 200);
    await put('/webhooks/ci', (await exchange('GET', `${api}/webhooks/ci`, 200)).json() as object);
    const { name: _name, ...settings } = webhook;
    await put('/webhooks/ci', { ...settings, previous_secret: null, headers: null });
    await exchange('DELETE', `${api}/webhooks/ci`, 204);
  });

  it('describes the journal', async () => {
    const query = 'types=tag.moved&types=repository.created&by=root&n=5';
    const { body } = await exchange('GET', `${api}/events?${query}`, 200);
    expect((JSON.parse(body.toString()) as { events: object[] }).events).not.toEqual([]);
    await exchange('GET', `${api}/events?after=0&repository=local&image=team/app`, 200);
    await exchange('GET', `${api}/events?before=1`, 200);
  });

  it('describes figures over time and the latest requests', async () => {
    const since = new Date(Date.now() - 3_600_000).toISOString();
    const query = 'series=pulls&series=bytes&repository=local&split=true&step=day';
    await exchange('GET', `${api}/statistics?${query}&since=${since}`, 200);
    await exchange('GET', `${api}/statistics`, 200);
    const { body } = await exchange('GET', `${api}/requests?after=0&n=3`, 200);
    expect((JSON.parse(body.toString()) as { requests: object[] }).requests).toHaveLength(3);
    await exchange('GET', `${api}/metrics`, 200);
  });

  it('describes the quarantine and damaged blobs', async () => {
    for (const label of ['one', 'two', 'three']) {
      const bytes = Buffer.from(label);
      scene.server.disk?.quarantine.set(digestOf(bytes), { bytes, modifiedAt: 0 });
    }
    const { body } = await exchange('GET', `${api}/quarantine?n=2&last=`, 200);
    expect(JSON.parse(body.toString())).toMatchObject({ blobs: [{ size_bytes: 3 }, {}] });
    await exchange('GET', `${api}/damage`, 200);
    await exchange('GET', `${api}/status`, 200);
    await exchange('DELETE', `${api}/quarantine/${digestOf(Buffer.from('one'))}`, 204);
    await post('/quarantine/restore', { digests: [digestOf(Buffer.from('two')), digestOf(Buffer.from('four'))] }, 200);
    await post('/quarantine/restore', { all: true }, 200);
  });

  it('describes the trash', async () => {
    const deleted = imageManifest('in the trash');
    const pushed = { headers: { 'Content-Type': deleted.type }, body: deleted.bytes };
    await exchange('PUT', '/v2/local/trash/manifests/v1', 201, pushed);
    await exchange('DELETE', `/v2/local/trash/manifests/${deleted.digest}`, 202);
    const { body } = await exchange('GET', `${api}/repositories/local/trash?n=2`, 200);
    expect(JSON.parse(body.toString())).toMatchObject({ items: [{ image: 'trash', tags: ['v1'] }] });
    await post('/repositories/local/trash/restore', { image: 'trash', digest: deleted.digest }, 200);
    await exchange('DELETE', `${api}/repositories/local/trash?dry_run=true`, 200);
  });

  it('describes a reload', async () => {
    const changes: OptionChange[] = [
      { option: 'limits.maxBlobBytes', change: 'changed', from: 1, to: 2 },
      { option: 'repositories.hub.credentials', change: 'added' },
    ];
    const server = await startRegistry({}, () => Promise.resolve(changes));
    cleanups.add(() => server.close());
    const client = new Client(server.url);
    cleanups.add(() => client.close());
    const { body } = await exchange('POST', `${api}/reload`, 200, {}, (...request) => client.send(...request));
    expect(JSON.parse(body.toString())).toEqual({ changes });
  });

  it('was compared with every operation', () => {
    expect([...seen].toSorted()).toEqual([...endpoints, ...managementEndpoints].map(({ op }) => op).toSorted());
  });

  it.each([
    ['GET', `${name}/manifests/nothing`],
    ['GET', `${name}/tags/list?n=-1`],
    ['DELETE', `${api}/repositories/local`],
  ] as const)('has the body of a refusal: %s %s', async (method, url) => {
    const answer = await ask(method, url);
    expect(answer.status).toBeGreaterThanOrEqual(400);
    expect(problemsOf(answer.json(), { $ref: '#/components/schemas/Errors' })).toBeUndefined();
  });

  it.each([
    ['/repositories', 'repository.create', { ...local, sparse: 'no' }],
    ['/repositories', 'repository.create', { ...local, name: undefined }],
    ['/repositories', 'repository.create', { ...local, name: 'No/Name' }],
    ['/repositories', 'repository.create', { ...local, url: 'http://127.0.0.1' }],
    ['/repositories', 'repository.create', { ...remote, url: undefined }],
    ['/repositories', 'repository.create', { ...remote, credentials: { username: 'me' } }],
    ['/repositories', 'repository.create', { ...virtual, members: [] }],
    ['/quarantine/restore', 'quarantine.restore', {}],
    ['/quarantine/restore', 'quarantine.restore', { all: false }],
    ['/quarantine/restore', 'quarantine.restore', { digests: [] }],
    ['/quarantine/restore', 'quarantine.restore', { digests: ['sha256:short'] }],
    ['/repositories/local/trash/restore', 'trash.restore', { image: 'app' }],
    ['/jobs', 'job.start', { kind: 'baking' }],
    ['/jobs', 'job.start', { kind: 'garbage', dry_run: 'yes' }],
    ['/accounts', 'account.create', { name: 'a b' }],
    ['/rules', 'rule.create', { users: ['a'], allow: ['write'] }],
    ['/rules', 'rule.create', { users: ['a'] }],
    ['/webhooks', 'webhook.create', { name: 'x', url: 'http://127.0.0.1/' }],
    ['/webhooks', 'webhook.create', { name: 'x', url: 'http://127.0.0.1/', secret: 's'.repeat(24), events: ['all'] }],
    ['/syncs', 'sync.create', { name: 'x', from: 'hub', to: 'local', images: [] }],
    ['/syncs', 'sync.create', { name: 'x', to: 'local', images: ['a'] }],
    ['/syncs', 'sync.create', { name: 'x', from: 'hub', to: 'local', images: ['a'], platforms: ['arm64'] }],
  ])('refuses the same documents as the registry: %s %s %j', async (url, op, value) => {
    const answer = await ask('POST', api + url, { headers: json, body: JSON.stringify(value) });
    expect(answer.codes).toEqual(['OPTIONS_INVALID']);
    const schema = operations.get(op)?.requestBody?.content?.['application/json']?.schema ?? {};
    expect(problemsOf(JSON.parse(JSON.stringify(value)), schema)).toBeDefined();
  });
});
