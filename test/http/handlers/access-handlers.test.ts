import type { IncomingMessage } from 'node:http';
import path from 'node:path';
import { Readable } from 'node:stream';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createAccessReport } from '../../../src/access/rules/access-report.js';
import { StoredAccounts } from '../../../src/access/identities/accounts.js';
import { StoredRuleBook } from '../../../src/access/rules/rule-book.js';
import { BodyReader } from '../../../src/http/bodies/body-reader.js';
import type { Handler } from '../../../src/http/exchange.js';
import { createAccessHandlers } from '../../../src/http/handlers/access/access.js';
import type { AccessAdministration, SigningKeyInfo } from '../../../src/ports/access/access.js';
import { accessEndpoints } from '../../../src/protocol/tables/rows/access-endpoints.js';
import { encodeError, RegistryError } from '../../../src/protocol/errors.js';
import { managementRoutes } from '../../../src/protocol/tables/management.js';
import { LevelMetadataStore } from '../../../src/storage/level/level-metadata-store.js';
import { admin } from '../../support/access/callers.js';
import { TestRuntime } from '../../support/storage/domain.js';
import { makeScratchFolder, removeScratchFolder } from '../../support/storage/scratch.js';

interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly body: Readonly<Record<string, unknown>>;
}

const rule = { users: ['robot'], names: ['a/**'], allow: ['pull'] };
/** No repositories: these operations do not need any. */
const directory = {
  get: () => undefined,
  resolve: () => ({ at: { repository: '', image: '' }, repository: undefined }),
};
const created = '1970-01-01T00:00:01.000Z';

const caller = { actor: admin };

describe('the management API for accounts, tokens, rules and keys', () => {
  let folder: string;
  let metadata: LevelMetadataStore;
  let accounts: StoredAccounts;
  let administration: AccessAdministration | undefined;
  beforeEach(async () => {
    folder = await makeScratchFolder();
    metadata = await LevelMetadataStore.open(path.join(folder, 'index'));
    const runtime = new TestRuntime(1000);
    const keys: SigningKeyInfo[] = [{ id: 'k1', createdAt: 1000, origin: 'managed', signs: true }];
    accounts = new StoredAccounts(metadata, runtime);
    const rules = new StoredRuleBook([{ authenticated: true, allow: ['pull'] }], metadata, runtime);
    administration = {
      accounts,
      rules,
      people: {
        list: () => Promise.resolve([]),
        setDisabled: () => Promise.resolve(undefined),
        delete: () => Promise.resolve(false),
      },
      check: createAccessReport({
        accounts,
        findPerson: () => Promise.resolve(undefined),
        rules,
        groupsOf: () => [],
        needsGrants: false,
      }),
      listKeys: () => Promise.resolve(keys),
      rotateKeys: () => Promise.resolve({ id: 'k2', createdAt: 1000, origin: 'managed', signs: true }),
    };
  });
  afterEach(async () => {
    await metadata.close();
    await removeScratchFolder(folder);
  });

  /** Sends a request as the dispatcher does, and returns errors as responses. */
  const ask = async (method: string, where: string, document?: unknown): Promise<Answer> => {
    const handlers = createAccessHandlers(() => ({ administration, directory, now: () => 1000 }));
    try {
      const match = managementRoutes.match(method, `/api/v1/${where}`);
      const handler = handlers[match?.row.op as keyof typeof handlers] as unknown as Handler<unknown>;
      const req = request(document);
      const query = new URLSearchParams();
      const {
        status,
        headers = {},
        body,
      } = await new BodyReader().use(req, '127.0.0.1', (content) => {
        const exchange = { caller, req, body: content, prefix: '/admin', path: where, query, params: match?.params };
        return handler(exchange as unknown as Parameters<typeof handler>[0]);
      });
      return { status, headers, body: JSON.parse(typeof body === 'string' ? body : '{}') as Answer['body'] };
    } catch (error) {
      if (!(error instanceof RegistryError)) throw error;
      return { status: error.status, headers: error.headers, body: JSON.parse(encodeError(error)) as Answer['body'] };
    }
  };

  it('creates, shows, replaces and deletes an account', async () => {
    const shown = {
      name: 'robot',
      description: '',
      groups: ['ci'],
      disabled: false,
      created_at: created,
      updated_at: created,
    };
    expect(await ask('POST', 'accounts', { name: 'robot', groups: ['ci'] })).toMatchObject({
      status: 201,
      headers: { Location: '/admin/api/v1/accounts/robot' },
      body: shown,
    });
    expect(await ask('POST', 'accounts', { name: 'robot' })).toMatchObject({
      status: 409,
      body: { errors: [{ code: 'CONFLICT' }] },
    });
    expect(await ask('GET', 'accounts')).toMatchObject({ status: 200, body: { accounts: [shown] } });
    expect(await ask('GET', 'accounts/robot')).toMatchObject({ status: 200, body: shown });
    const changed = { ...shown, disabled: true };
    expect(await ask('PUT', 'accounts/robot', changed)).toMatchObject({ status: 200, body: changed });
    expect(await ask('DELETE', 'accounts/robot')).toMatchObject({ status: 204 });
    expect(await ask('GET', 'accounts')).toMatchObject({ status: 200, body: { accounts: [] } });
  });

  it('shows the secret of a token only when it is created', async () => {
    await ask('POST', 'accounts', { name: 'robot' });
    const document = { description: 'ci', limits: [{ names: 'a', allow: ['pull'] }], expires_in_seconds: 5 };
    const made = await ask('POST', 'accounts/robot/tokens', document);
    const { token: secret, ...shown } = made.body as { token: string; id: string };
    expect(made).toMatchObject({ status: 201, headers: { 'Cache-Control': 'no-store, no-transform' } });
    expect(made.headers['Location']).toBe(`/admin/api/v1/accounts/robot/tokens/${shown.id}`);
    expect(shown).toMatchObject({ account: 'robot', description: 'ci', created_at: created });
    expect(shown).toMatchObject({
      limits: [{ names: ['a'], allow: ['pull'] }],
      expires_at: '1970-01-01T00:00:06.000Z',
    });
    expect(await accounts.identify(secret)).toMatchObject({ id: 'robot' });
    const listed = await ask('GET', 'accounts/robot/tokens');
    expect(listed).toMatchObject({ status: 200, body: { tokens: [shown] } });
    const others = [listed, await ask('GET', 'accounts'), await ask('GET', 'accounts/robot')];
    expect(JSON.stringify(others)).not.toContain(secret.slice(21));
    expect(JSON.stringify(others)).not.toContain('sha256');
    expect(await ask('DELETE', `accounts/robot/tokens/${shown.id}`)).toMatchObject({ status: 204 });
    expect(await accounts.identify(secret)).toBe('revoked');
  });

  it('creates, shows, replaces and deletes a rule', async () => {
    const declared = { id: 'declared-1', origin: 'declared', authenticated: true, allow: ['pull'] };
    const made = await ask('POST', 'rules', rule);
    const { id } = made.body as { id: string };
    const shown = { id, origin: 'managed', ...rule };
    expect(made).toMatchObject({ status: 201, headers: { Location: `/admin/api/v1/rules/${id}` }, body: shown });
    expect(await ask('GET', 'rules')).toMatchObject({ status: 200, body: { rules: [declared, shown] } });
    expect(await ask('GET', 'rules/declared-1')).toMatchObject({ status: 200, body: declared });
    const changed = { ...shown, allow: ['push'] };
    expect(await ask('PUT', `rules/${id}`, changed)).toMatchObject({ status: 200, body: changed });
    expect(await ask('PUT', 'rules/declared-1', rule)).toMatchObject({ status: 409 });
    expect(await ask('DELETE', 'rules/declared-1')).toMatchObject({ status: 409 });
    expect(await ask('DELETE', `rules/${id}`)).toMatchObject({ status: 204 });
    expect(await ask('GET', 'rules')).toMatchObject({ body: { rules: [declared] } });
  });

  it('lists and rotates keys', async () => {
    const shown = { id: 'k1', origin: 'managed', signs: true, created_at: created };
    expect(await ask('GET', 'keys')).toMatchObject({ status: 200, body: { keys: [shown] } });
    expect(await ask('POST', 'keys')).toMatchObject({ status: 201, body: { ...shown, id: 'k2' } });
  });

  const token = '0123456789abcdef';
  it.each<[string, string, unknown, string]>([
    ['PUT', 'access/people/x', { disabled: true }, 'person'],
    ['DELETE', 'access/people/x', undefined, 'person'],
    ['GET', 'accounts/x', undefined, 'account'],
    ['PUT', 'accounts/x', {}, 'account'],
    ['DELETE', 'accounts/x', undefined, 'account'],
    ['GET', 'accounts/x/tokens', undefined, 'account'],
    ['POST', 'accounts/x/tokens', {}, 'account'],
    ['DELETE', `accounts/x/tokens/${token}`, undefined, 'account'],
    ['DELETE', `accounts/robot/tokens/${token}`, undefined, 'token'],
    ['GET', 'rules/x', undefined, 'rule'],
    ['PUT', 'rules/declared-9', rule, 'rule'],
    ['DELETE', 'rules/x', undefined, 'rule'],
  ])('answers %s %s with 404 if it does not exist', async (method, where, document, kind) => {
    await accounts.create({ name: 'robot', description: '', groups: [], disabled: false }, admin);
    const errors = [{ code: 'NOT_FOUND', message: `${kind} not found` }];
    expect(await ask(method, where, document)).toMatchObject({ status: 404, body: { errors } });
  });

  it.each([
    ['PUT', 'access/people/x', {}],
    ['PUT', 'access/people/x', { disabled: 1 }],
    ['PUT', 'access/people/x', { disabled: true, more: 1 }],
    ['POST', 'accounts', { name: '..' }],
    ['PUT', 'accounts/robot', { name: 'other' }],
    ['POST', 'accounts/robot/tokens', { expires_at: '1970-01-01T00:00:01Z' }],
    ['POST', 'rules', { allow: ['pull'] }],
    ['PUT', 'rules/declared-1', { ...rule, id: 'x' }],
  ])('answers %s %s with 400 for an invalid document', async (method, where, document) => {
    await accounts.create({ name: 'robot', description: '', groups: [], disabled: false }, admin);
    const errors = [{ code: 'OPTIONS_INVALID' }];
    expect(await ask(method, where, document)).toMatchObject({ status: 400, body: { errors } });
  });

  const documents: Partial<Record<string, unknown>> = {
    'account.create': { name: 'a' },
    'account.replace': {},
    'account.createToken': {},
    'person.replace': { disabled: true },
    'rule.create': rule,
    'rule.replace': rule,
  };
  it.each(accessEndpoints)('answers $op with 404 without access control', async ({ op, method, path: pattern }) => {
    administration = undefined;
    const where = pattern
      .replace('/api/v1/', '')
      .replace(':account', 'a')
      .replace(':person', 'a')
      .replace(':token', token)
      .replace(':rule', 'r');
    const answer = await ask(method, where, documents[op]);
    expect(answer).toMatchObject({ status: 404, body: { errors: [{ code: 'UNSUPPORTED' }] } });
  });
});

/** Returns a request with the document as its JSON body, if there is one. */
function request(document: unknown): IncomingMessage {
  const body = document === undefined ? [] : [Buffer.from(JSON.stringify(document))];
  const headers = document === undefined ? {} : { 'content-type': 'application/json', 'transfer-encoding': 'chunked' };
  return Object.assign(Readable.from(body), { headers }) as unknown as IncomingMessage;
}
