import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { digestOf } from '../../../src/protocol/digest.js';
import { endpoints, type RegistryOp } from '../../../src/protocol/tables/endpoints.js';
import { managementEndpoints, type ManagementOp } from '../../../src/protocol/tables/management.js';
import { buildPath, type Endpoint } from '../../../src/protocol/tables/route-table.js';
import { eventually } from '../../support/eventually.js';
import {
  basic,
  form,
  json,
  manage,
  pushImage,
  startAccess,
  type AccessScene,
  type Ask,
} from '../../support/access/access.js';
import { buildImage, entriesOf, layoutOf, tarOf } from '../../support/content/archives.js';
import type { Answer, Send } from '../../support/clients/client.js';
import { digest, imageManifest } from '../../support/content/content.js';
import { makeScratchFolder, removeScratchFolder } from '../../support/storage/scratch.js';
import { Cleanups, MovableClock } from '../../support/upstreams/remote.js';

/** In the order of the columns below. `limited` has a token of an account that may do everything, which may only pull. */
const callers = [
  'anonymous',
  'outsider',
  'reader',
  'writer',
  'deleter',
  'repository admin',
  'admin',
  'wrong password',
  'expired token',
  'token for another repository',
  'token for this one',
  'limited',
  'host',
] as const;
type CallerName = (typeof callers)[number];
/** Whose refused requests are seen to change nothing. */
const watched: ReadonlySet<CallerName> = new Set(['anonymous', 'reader', 'token for another repository', 'limited']);
type Op = RegistryOp | ManagementOp;

/** The status for each caller. The admin's is what the operation answers to whoever may. */
// prettier-ignore
const expected: Readonly<Record<Op, readonly number[]>> = {
  //                     anon outs read writ dele repo admn wrng expi othr this limi host
  'version.check':       [401, 200, 200, 200, 200, 200, 200, 401, 401, 200, 200, 200, 200],
  'token.get':           [401, 200, 200, 200, 200, 200, 200, 401, 401, 401, 401, 200, 200],
  'token.post':          [401, 200, 200, 200, 200, 200, 200, 401, 401, 401, 401, 200, 200],
  'catalog.list':        [401, 403, 200, 200, 200, 200, 200, 401, 401, 401, 200, 200, 200],
  'upload.start':        [401, 403, 403, 202, 403, 202, 202, 401, 401, 401, 202, 403, 202],
  'upload.status':       [401, 403, 403, 204, 403, 204, 204, 401, 401, 401, 204, 403, 204],
  'upload.append':       [401, 403, 403, 202, 403, 202, 202, 401, 401, 401, 202, 403, 202],
  'upload.complete':     [401, 403, 403, 201, 403, 201, 201, 401, 401, 401, 201, 403, 201],
  'upload.cancel':       [401, 403, 403, 204, 403, 204, 204, 401, 401, 401, 204, 403, 204],
  'blob.stat':           [401, 403, 200, 200, 200, 200, 200, 401, 401, 401, 200, 200, 200],
  'blob.get':            [401, 403, 200, 200, 200, 200, 200, 401, 401, 401, 200, 200, 200],
  'blob.delete':         [401, 403, 403, 403, 202, 202, 202, 401, 401, 401, 202, 403, 403],
  'manifest.stat':       [401, 403, 200, 200, 200, 200, 200, 401, 401, 401, 200, 200, 200],
  'manifest.get':        [401, 403, 200, 200, 200, 200, 200, 401, 401, 401, 200, 200, 200],
  'manifest.put':        [401, 403, 403, 201, 403, 201, 201, 401, 401, 401, 201, 403, 201],
  'manifest.delete':     [401, 403, 403, 403, 202, 202, 202, 401, 401, 401, 202, 403, 403],
  'tag.list':            [401, 403, 200, 200, 200, 200, 200, 401, 401, 401, 200, 200, 200],
  'referrer.list':       [401, 403, 200, 200, 200, 200, 200, 401, 401, 401, 200, 200, 200],
  'health.get':          [200, 200, 200, 200, 200, 200, 200, 200, 200, 200, 200, 200, 200],
  'openapi.get':         [200, 200, 200, 200, 200, 200, 200, 200, 200, 200, 200, 200, 200],
  'session.get':         [200, 200, 200, 200, 200, 200, 200, 401, 401, 200, 200, 200, 200],
  'session.create':      [200, 200, 200, 200, 200, 200, 200, 200, 200, 200, 200, 200, 200],
  'session.delete':      [204, 204, 204, 204, 204, 204, 204, 401, 401, 204, 204, 204, 204],
  'session.list':        [401, 200, 200, 200, 200, 200, 200, 401, 401, 401, 401, 403, 200],
  'session.endAll':      [401, 200, 200, 200, 200, 200, 200, 401, 401, 401, 401, 403, 200],
  'session.end':         [401, 404, 404, 404, 404, 404, 204, 401, 401, 401, 401, 403, 404],
  'session.tokens':      [401, 200, 200, 200, 200, 200, 200, 401, 401, 401, 401, 200, 200],
  'session.createToken': [401, 201, 201, 201, 201, 201, 201, 401, 401, 401, 401, 403, 409],
  'session.deleteToken': [401, 404, 404, 404, 404, 404, 204, 401, 401, 401, 401, 403, 404],
  'session.beginLogin':  [404, 404, 404, 404, 404, 404, 404, 404, 404, 404, 404, 404, 404],
  'session.completeLogin': [404, 404, 404, 404, 404, 404, 404, 404, 404, 404, 404, 404, 404],
  'selftest.body':       [401, 200, 200, 200, 200, 200, 200, 401, 401, 401, 401, 200, 200],
  'repository.list':     [401, 200, 200, 200, 200, 200, 200, 401, 401, 401, 401, 200, 200],
  'repository.create':   [401, 403, 403, 403, 403, 403, 201, 401, 401, 401, 401, 403, 403],
  'repository.get':      [401, 403, 200, 200, 200, 200, 200, 401, 401, 401, 401, 200, 200],
  'repository.replace':  [401, 403, 403, 403, 403, 200, 200, 401, 401, 401, 401, 403, 403],
  'repository.delete':   [401, 403, 403, 403, 403, 204, 204, 401, 401, 401, 401, 403, 403],
  'status.get':          [401, 403, 200, 200, 200, 200, 200, 401, 401, 401, 401, 200, 200],
  'image.list':          [401, 403, 200, 200, 200, 200, 200, 401, 401, 401, 401, 200, 200],
  'image.tags':          [401, 403, 200, 200, 200, 200, 200, 401, 401, 401, 401, 200, 200],
  'image.listAll':       [401, 403, 200, 200, 200, 200, 200, 401, 401, 401, 401, 200, 200],
  'image.summary':       [401, 403, 200, 200, 200, 200, 200, 401, 401, 401, 401, 200, 200],
  'image.manifest':      [401, 403, 200, 200, 200, 200, 200, 401, 401, 401, 401, 200, 200],
  'image.history':       [401, 403, 200, 200, 200, 200, 200, 401, 401, 401, 401, 200, 200],
  'image.blob':          [401, 403, 200, 200, 200, 200, 200, 401, 401, 401, 401, 200, 200],
  'image.delete':        [401, 403, 403, 403, 200, 200, 200, 401, 401, 401, 401, 403, 403],
  'image.moveTag':       [401, 403, 403, 200, 403, 200, 200, 401, 401, 401, 401, 403, 200],
  'archive.import':      [401, 404, 403, 201, 403, 201, 201, 401, 401, 401, 401, 403, 201],
  'archive.export':      [401, 403, 200, 200, 200, 200, 200, 401, 401, 401, 401, 200, 200],
  'cache.purge':         [401, 403, 403, 403, 403, 200, 200, 401, 401, 401, 401, 403, 403],
  'cache.refresh':       [401, 403, 403, 403, 403, 503, 503, 401, 401, 401, 401, 403, 403],
  'upstream.probe':      [401, 403, 403, 403, 403, 200, 200, 401, 401, 401, 401, 403, 403],
  'immutability.get':    [401, 403, 200, 200, 200, 200, 200, 401, 401, 401, 401, 200, 200],
  'quota.list':          [401, 403, 403, 403, 403, 403, 200, 401, 401, 401, 401, 403, 403],
  'quota.replace':       [401, 403, 403, 403, 403, 403, 200, 401, 401, 401, 401, 403, 403],
  'explain.get':         [401, 403, 200, 200, 200, 200, 200, 401, 401, 401, 401, 200, 200],
  'garbage.collect':     [401, 403, 403, 403, 403, 403, 200, 401, 401, 401, 401, 403, 403],
  'quarantine.list':     [401, 403, 403, 403, 403, 403, 200, 401, 401, 401, 401, 403, 403],
  'quarantine.restore':  [401, 403, 403, 403, 403, 403, 200, 401, 401, 401, 401, 403, 403],
  'quarantine.delete':   [401, 403, 403, 403, 403, 403, 204, 401, 401, 401, 401, 403, 403],
  'trash.list':          [401, 403, 403, 403, 403, 200, 200, 401, 401, 401, 401, 403, 403],
  'trash.restore':       [401, 403, 403, 403, 403, 200, 200, 401, 401, 401, 401, 403, 403],
  'trash.empty':         [401, 403, 403, 403, 403, 200, 200, 401, 401, 401, 401, 403, 403],
  'damage.list':         [401, 403, 403, 403, 403, 403, 200, 401, 401, 401, 401, 403, 403],
  'job.list':            [401, 403, 403, 403, 403, 403, 200, 401, 401, 401, 401, 403, 403],
  'job.start':           [401, 403, 403, 403, 403, 403, 202, 401, 401, 401, 401, 403, 403],
  'job.get':             [401, 403, 403, 403, 403, 403, 200, 401, 401, 401, 401, 403, 403],
  'job.plan':            [401, 403, 403, 403, 403, 403, 404, 401, 401, 401, 401, 403, 403],
  'job.delete':          [401, 403, 403, 403, 403, 403, 204, 401, 401, 401, 401, 403, 403],
  'job.confirm':         [401, 403, 403, 403, 403, 403, 409, 401, 401, 401, 401, 403, 403],
  'event.list':          [401, 403, 403, 403, 403, 403, 200, 401, 401, 401, 401, 403, 403],
  'statistics.get':      [401, 403, 200, 200, 200, 200, 200, 401, 401, 401, 401, 200, 200],
  'metrics.get':         [401, 403, 403, 403, 403, 403, 404, 401, 401, 401, 401, 403, 403],
  'request.list':        [401, 403, 403, 403, 403, 403, 200, 401, 401, 401, 401, 403, 403],
  'options.reload':      [401, 403, 403, 403, 403, 403, 409, 401, 401, 401, 401, 403, 403],
  'access.check':        [401, 403, 403, 403, 403, 403, 200, 401, 401, 401, 401, 403, 403],
  'person.list':         [401, 403, 403, 403, 403, 403, 200, 401, 401, 401, 401, 403, 403],
  'person.replace':      [401, 403, 403, 403, 403, 403, 200, 401, 401, 401, 401, 403, 403],
  'person.delete':       [401, 403, 403, 403, 403, 403, 204, 401, 401, 401, 401, 403, 403],
  'account.list':        [401, 403, 403, 403, 403, 403, 200, 401, 401, 401, 401, 403, 403],
  'account.create':      [401, 403, 403, 403, 403, 403, 201, 401, 401, 401, 401, 403, 403],
  'account.get':         [401, 403, 403, 403, 403, 403, 200, 401, 401, 401, 401, 403, 403],
  'account.replace':     [401, 403, 403, 403, 403, 403, 200, 401, 401, 401, 401, 403, 403],
  'account.delete':      [401, 403, 403, 403, 403, 403, 204, 401, 401, 401, 401, 403, 403],
  'account.tokens':      [401, 403, 403, 403, 403, 403, 200, 401, 401, 401, 401, 403, 403],
  'account.createToken': [401, 403, 403, 403, 403, 403, 201, 401, 401, 401, 401, 403, 403],
  'account.deleteToken': [401, 403, 403, 403, 403, 403, 204, 401, 401, 401, 401, 403, 403],
  'rule.list':           [401, 403, 403, 403, 403, 403, 200, 401, 401, 401, 401, 403, 403],
  'rule.create':         [401, 403, 403, 403, 403, 403, 201, 401, 401, 401, 401, 403, 403],
  'rule.get':            [401, 403, 403, 403, 403, 403, 200, 401, 401, 401, 401, 403, 403],
  'rule.replace':        [401, 403, 403, 403, 403, 403, 200, 401, 401, 401, 401, 403, 403],
  'rule.delete':         [401, 403, 403, 403, 403, 403, 204, 401, 401, 401, 401, 403, 403],
  'sync.list':           [401, 403, 403, 403, 403, 403, 200, 401, 401, 401, 401, 403, 403],
  'sync.create':         [401, 403, 403, 403, 403, 403, 201, 401, 401, 401, 401, 403, 403],
  'sync.get':            [401, 403, 403, 403, 403, 403, 200, 401, 401, 401, 401, 403, 403],
  'sync.replace':        [401, 403, 403, 403, 403, 403, 200, 401, 401, 401, 401, 403, 403],
  'sync.delete':         [401, 403, 403, 403, 403, 403, 204, 401, 401, 401, 401, 403, 403],
  'webhook.list':        [401, 403, 403, 403, 403, 403, 200, 401, 401, 401, 401, 403, 403],
  'webhook.create':      [401, 403, 403, 403, 403, 403, 201, 401, 401, 401, 401, 403, 403],
  'webhook.get':         [401, 403, 403, 403, 403, 403, 200, 401, 401, 401, 401, 403, 403],
  'webhook.replace':     [401, 403, 403, 403, 403, 403, 200, 401, 401, 401, 401, 403, 403],
  'webhook.delete':      [401, 403, 403, 403, 403, 403, 204, 401, 401, 401, 401, 403, 403],
  'webhook.test':        [401, 403, 403, 403, 403, 403, 200, 401, 401, 401, 401, 403, 403],
  'webhook.deliveries':  [401, 403, 403, 403, 403, 403, 200, 401, 401, 401, 401, 403, 403],
  'webhook.resend':      [401, 403, 403, 403, 403, 403, 404, 401, 401, 401, 401, 403, 403],
  'key.list':            [401, 403, 403, 403, 403, 403, 200, 401, 401, 401, 401, 403, 403],
  'key.rotate':          [401, 403, 403, 403, 403, 403, 201, 401, 401, 401, 401, 403, 403],
};

/** The lines that an operation leaves in the audit file, if it changes anything. */
const recorded: Partial<Record<Op, readonly string[]>> = {
  'blob.delete': ['blob.deleted'],
  'manifest.put': ['manifest.pushed', 'tag.moved'],
  'manifest.delete': ['tag.deleted'],
  'repository.create': ['repository.created'],
  'repository.replace': ['repository.replaced'],
  'repository.delete': ['repository.deleted'],
  'archive.import': ['manifest.pushed', 'tag.moved'],
  'session.end': ['session.ended'],
  'session.endAll': ['session.ended'],
  'session.createToken': ['account-token.created'],
  'session.deleteToken': ['account-token.deleted'],
  'cache.purge': ['cache.purged'],
  'garbage.collect': ['job.created'],
  'quarantine.restore': ['quarantine.restored'],
  'quarantine.delete': ['quarantine.deleted'],
  'image.delete': ['manifest.deleted', 'tag.deleted'],
  'image.moveTag': ['tag.moved'],
  'trash.restore': ['manifest.restored', 'tag.moved'],
  'trash.empty': ['manifest.purged'],
  'job.start': ['job.created'],
  'job.delete': ['job.deleted'],
  'person.replace': ['person.replaced'],
  'person.delete': ['account-token.deleted', 'person.deleted'],
  'account.create': ['account.created'],
  'account.replace': ['account.replaced'],
  'account.delete': ['account-token.deleted', 'account.deleted'],
  'account.createToken': ['account-token.created'],
  'account.deleteToken': ['account-token.deleted'],
  'quota.replace': ['quota.created'],
  'rule.create': ['rule.created'],
  'rule.replace': ['rule.replaced'],
  'rule.delete': ['rule.deleted'],
  'sync.create': ['sync.created'],
  'sync.replace': ['sync.replaced'],
  'sync.delete': ['sync.deleted'],
  'webhook.create': ['webhook.created'],
  'webhook.replace': ['webhook.replaced'],
  'webhook.delete': ['webhook.deleted'],
  'webhook.test': ['webhook.tested'],
  'key.rotate': ['signing-key.created'],
};
/** Operations that write and leave no line: what they change cannot be seen, or they are refused in this table. */
const unrecorded: ReadonlySet<string> = new Set<Op>([
  'webhook.resend',
  'token.post',
  'upload.start',
  'upload.append',
  'upload.complete',
  'upload.cancel',
  'job.confirm',
  'options.reload',
  'session.create',
  'session.delete',
  'cache.refresh',
  'upstream.probe',
  'selftest.body',
]);

const rows: readonly Endpoint[] = [...endpoints, ...managementEndpoints];
const rule = { users: ['somebody'], allow: ['pull'] };

/** What a row's placeholders stand for: all of it is there. No other row uses it, and no caller after one who changed it. */
interface Content {
  readonly name: string;
  readonly repository: string;
  readonly image: string;
  readonly reference: string;
  readonly digest: string;
  readonly session: string;
  readonly account: string;
  readonly person: string;
  readonly token: string;
  readonly rule: string;
  readonly job: string;
  readonly sync: string;
  readonly webhook: string;
  readonly delivery: string;
  readonly login: string;
  readonly provider: string;
}

/** What goes along with a request: the query, and a body where one is needed. */
const sends: Partial<Record<Op, (content: Content) => Send & { readonly query?: string }>> = {
  'token.get': ({ name }) => ({ query: `scope=repository:${name}:pull` }),
  'session.create': () => ({ headers: json, body: '{"username":"reader","password":"password of reader"}' }),
  'token.post': () => ({ headers: form, body: 'grant_type=password' }),
  'upload.append': () => ({ body: 'some' }),
  'upload.complete': () => ({ query: `digest=${digest('all')}`, body: 'all' }),
  'manifest.put': ({ name }) => {
    const { bytes, type } = imageManifest(name);
    return { headers: { 'Content-Type': type }, body: bytes };
  },
  'repository.create': ({ repository }) => document({ ...localOf(`${repository}-new`) }),
  'repository.replace': ({ repository }) => document({ ...remoteOf(repository), description: 'changed' }),
  'archive.import': ({ image }) => ({ query: `image=${image}&tag=v2`, body: archive }),
  'archive.export': ({ image }) => ({ query: `name=${image}:v1` }),
  'quota.replace': () => ({ headers: json, body: '{"quotas":[{"names":"quota/**","max_bytes":1}]}' }),
  'cache.refresh': () => ({ query: 'image=team/app&tag=v1' }),
  'immutability.get': () => ({ query: 'tag=v1' }),
  'explain.get': ({ name }) => ({ query: `name=${name}&reference=v1` }),
  'quarantine.restore': () => document({ all: true }),
  'image.manifest': () => ({ query: 'reference=v1' }),
  'image.history': () => ({ query: 'tag=v1' }),
  'image.blob': ({ digest: manifest }) => ({ query: `digest=${manifest}` }),
  'image.delete': () => document({ tags: ['v1'] }),
  'image.moveTag': () => document({ tag: 'v2', reference: 'v1', expected: null }),
  'trash.restore': ({ image, digest: deleted }) => document({ image, digest: deleted }),
  'job.start': () => document({ kind: 'garbage', dry_run: true }),
  'sync.create': ({ repository }) => document(syncOf(`${repository}-new`)),
  'sync.replace': ({ sync }) => document({ ...syncOf(sync), images: ['b'] }),
  'webhook.create': ({ repository }) => document(webhookOf(`${repository}-new`)),
  'webhook.replace': ({ webhook }) => document({ ...webhookOf(webhook), events: ['tag'] }),
  'access.check': () => ({ query: 'user=reader&image=team-main/app' }),
  'person.replace': () => document({ disabled: false }),
  'account.create': ({ account }) => document({ name: `${account}-new` }),
  'account.replace': () => document({ description: 'changed' }),
  'account.createToken': () => document({}),
  'session.createToken': () => document({}),
  'rule.create': () => document(rule),
  'rule.replace': () => document({ ...rule, allow: ['push'] }),
};

const document = (value: object): Send => ({ headers: json, body: JSON.stringify(value) });
const localOf = (name: string): object => ({ name, package_type: 'docker', repo_type: 'local' });
const syncOf = (name: string): object => ({
  name,
  from: 'team-remote',
  to: 'team-main',
  images: ['a'],
  every_seconds: 0,
});
const webhookOf = (name: string): object => ({
  name,
  url: 'http://127.0.0.1:1/',
  secret: 'a-secret-of-24-characters',
});
const remoteOf = (name: string): object => ({
  name,
  package_type: 'docker',
  repo_type: 'remote',
  url: 'http://127.0.0.1:1',
});

const cleanups = new Cleanups();
let clock: MovableClock;
let scene: AccessScene;
let root: Ask;
let expired: string;
let limited: string;
let archive: Buffer;
let made = 0;
let auditFile: string;
/** All requests of the table. */
const answered: { readonly op: string; readonly caller: CallerName; readonly status: number; readonly id: string }[] =
  [];

beforeAll(async () => {
  clock = new MovableClock();
  const folder = await makeScratchFolder();
  cleanups.add(() => removeScratchFolder(folder));
  auditFile = path.join(folder, 'audit.jsonl');
  const users = ['root', 'outsider', 'reader', 'writer', 'deleter', 'keeper'];
  const names = ['team-*'];
  scene = await startAccess(cleanups, {
    users,
    repositories: [
      { name: 'team-main', type: 'local', sparse: true },
      { name: 'other', type: 'local' },
      { name: 'team-remote', type: 'remote', url: 'http://127.0.0.1:1' },
    ],
    // So that each wrong password comes from elsewhere, and none of them has to wait.
    trustedProxies: ['127.0.0.1'],
    audit: { file: auditFile },
    access: {
      authenticate: ({ headers: { 'x-host-user': id } }) => (typeof id === 'string' ? { id } : undefined),
      groups: { readers: ['reader'] },
      rules: [
        { names, groups: ['readers'], allow: ['pull'] },
        { names, users: ['writer'], allow: ['pull', 'push'] },
        { names, users: ['deleter'], allow: ['pull', 'delete'] },
        { names, users: ['keeper'], allow: ['admin'] },
        { users: ['root', 'robot'], allow: ['admin'] },
      ],
    },
  });
  root = scene.as(basic('root'));
  const built = buildImage('archived');
  archive = await tarOf(entriesOf(layoutOf(built, 'v1')));
  expired = `Bearer ${await scene.token('repository:team-main/app:*', basic('root'))}`;
  clock.advance(301);
  await manage(root, 'POST', 'accounts', { name: 'robot' });
  const limits = [{ names, allow: ['pull'] }];
  const { token } = (await manage(root, 'POST', 'accounts/robot/tokens', { limits })) as { token: string };
  limited = basic('robot', token);
});
afterAll(async () => {
  await cleanups.run();
  clock.restore();
});

it('the access table has every operation and every caller', () => {
  expect(Object.keys(expected).sort()).toEqual(rows.map(({ op }) => op).sort());
  expect(Object.values(expected).every((statuses) => statuses.length === callers.length)).toBe(true);
});

describe('the answers to all callers', () => {
  it.each(rows)('match the access table for $op', async (row) => {
    const got: Record<string, number> = {};
    let unchanged: Content | undefined;
    for (const caller of callers) {
      const content = (unchanged ??= await makeContent(row));
      const isWatched = watched.has(caller);
      const before = isWatched ? await look(row, content) : [];
      const answer = await request(row, content, await credentialsOf(caller, content));
      got[caller] = answer.status;
      answered.push({ op: row.op, caller, status: answer.status, id: answer.header('x-request-id') });
      if (answer.status < 400 && !isRead(row)) unchanged = undefined;
      if (answer.status === 401) expectChallenge(answer, row);
      if (answer.status === 403 && row.method !== 'HEAD') expect(answer.codes).toEqual(['DENIED']);
      if (answer.status < 400 || !isWatched) continue;
      expect(await look(row, content), `${row.op} by ${caller} changes nothing`).toEqual(before);
    }
    const wanted = Object.fromEntries(callers.map((caller, i) => [caller, expected[row.op as Op][i]]));
    expect(got).toEqual(wanted);
  });
});

const reads = rows.filter(({ method }) => method === 'GET');

describe('the answers to HEAD', () => {
  it.each(reads)('match the access table for $op', async (row) => {
    const content = await makeContent(row);
    const head = rows.find(({ method, path }) => method === 'HEAD' && path === row.path) ?? row;
    const got: Record<string, number> = {};
    for (const caller of callers) {
      const answer = await request({ ...row, method: 'HEAD' }, content, await credentialsOf(caller, content));
      expect(answer.body).toHaveLength(0);
      got[caller] = answer.status;
    }
    expect(got).toEqual(Object.fromEntries(callers.map((caller, i) => [caller, expected[head.op as Op][i]])));
  });
});

describe('the audit file', () => {
  it('has each change of the access table exactly once, each refusal, and nothing else', async () => {
    const writing = rows.filter((row) => !isRead(row)).map(({ op }) => op);
    expect(writing.filter((op) => !unrecorded.has(op)).sort()).toEqual(Object.keys(recorded).sort());
    expect(answered).toHaveLength(rows.length * callers.length);
    const lines = await eventually(readLines);
    for (const { op, caller, status, id } of answered) {
      const whats = (lines.get(id) ?? []).filter((what) => what !== 'login.succeeded').sort();
      expect(whats, `${op} by ${caller}`).toEqual(expectedLines(op, caller, status));
    }
  });
});

function expectedLines(op: string, caller: CallerName, status: number): readonly string[] {
  if (status === 403) return ['request.denied'];
  if (status === 401) return caller === 'wrong password' || caller === 'expired token' ? ['login.refused'] : [];
  return status < 400 ? (recorded[op as Op] ?? []) : [];
}

/** Returns what happened in each request, once everything is written. */
async function readLines(): Promise<ReadonlyMap<string, readonly string[]>> {
  const lines = new Map<string, string[]>();
  for (const text of (await readFile(auditFile, 'utf8')).trim().split('\n')) {
    const { request_id: id, what } = JSON.parse(text) as { request_id: string; what: string };
    lines.set(id, [...(lines.get(id) ?? []), what]);
  }
  const { id } = answered.findLast(({ status }) => status === 403) ?? { id: '' };
  expect(lines.has(id)).toBe(true);
  return lines;
}

function expectChallenge(answer: Answer, { access, method }: Endpoint): void {
  const challenge = answer.header('www-authenticate');
  expect(challenge.match(/\b(?:Basic|Bearer) /g)).toHaveLength(1);
  expect(challenge).toMatch(
    access === 'token' ? /^Basic realm="/ : /^Bearer realm="http:\/\/127\.0\.0\.1:\d+\/v2\/token"/,
  );
  expect(answer.header('content-type')).toBe('application/json');
  if (method === 'HEAD') expect(answer.body).toHaveLength(0);
  else expect(answer.codes).toEqual(['UNAUTHORIZED']);
}

function request({ op, path, method }: Endpoint, content: Content, headers: Send['headers'] = {}): Promise<Answer> {
  const { query, ...send } = sends[op as Op]?.(content) ?? {};
  const { reference, ...params } = content;
  const place = buildPath(path.replace(':reference', reference), params);
  const target = query === undefined ? place : `${place}?${query}`;
  return scene.ask(method, target, { ...send, headers: { ...send.headers, ...headers } });
}

async function credentialsOf(caller: CallerName, { name }: Content): Promise<NonNullable<Send['headers']>> {
  const authorizationOf: Partial<Record<CallerName, () => string | Promise<string>>> = {
    'repository admin': () => basic('keeper'),
    admin: () => basic('root'),
    'expired token': () => expired,
    'token for another repository': () => tokenFor('repository:other/app:*'),
    'token for this one': () => tokenFor(`repository:${name}:* registry:catalog:*`),
    limited: () => limited,
  };
  if (caller === 'anonymous') return {};
  if (caller === 'host') return { 'X-Host-User': 'writer' };
  const address = `10.0.${answered.length >> 8}.${answered.length & 255}`;
  if (caller === 'wrong password') return { Authorization: basic('root', 'guess'), 'X-Forwarded-For': address };
  return { Authorization: await (authorizationOf[caller] ?? (() => basic(caller)))() };
}

async function tokenFor(scope: string): Promise<string> {
  return `Bearer ${await scene.token(scope, basic('root'))}`;
}

async function makeContent({ path, op }: Endpoint): Promise<Content> {
  made++;
  const [image, account, repository] = [`app-${made}`, `account-${made}`, `team-${made}`];
  const name = `team-main/${image}`;
  const content = {
    image,
    name,
    account,
    person: `person-${made}`,
    repository,
    reference: 'v1',
    digest: '',
    session: '',
    token: '',
    rule: '',
    job: '',
    sync: '',
    webhook: '',
    delivery: '1',
    login: '',
    provider: 'unknown',
  };
  if (op === 'session.deleteToken') {
    const { id } = (await manage(root, 'POST', 'session/tokens', {})) as { id: string };
    return { ...content, token: id };
  }
  if (path.includes(':login')) {
    const { sessions } = (await root('GET', '/api/v1/sessions')).json() as { sessions: readonly { id: string }[] };
    if (sessions[0] !== undefined) return { ...content, login: sessions[0].id };
    await manage(scene.ask, 'POST', 'session', { username: 'root', password: 'password of root' }, 200);
    return makeContent({ path, op } as Endpoint);
  }
  if (path.includes(':name') || op === 'explain.get') {
    const pushed = await pushImage(root, name);
    const upload = await root('POST', `/v2/${name}/blobs/uploads/`);
    return { ...content, digest: pushed.digest, session: upload.header('docker-upload-uuid') };
  }
  if (path.includes(':person')) {
    const asked = { headers: { ...json, 'X-Host-User': content.person }, body: '{}' };
    expect((await scene.ask('POST', '/api/v1/session/tokens', asked)).status).toBe(201);
    return content;
  }
  if (path.includes(':account')) {
    await manage(root, 'POST', 'accounts', { name: account });
    const { id } = (await manage(root, 'POST', `accounts/${account}/tokens`, {})) as { id: string };
    return { ...content, token: id };
  }
  if (op.startsWith('quarantine.')) {
    const bytes = Buffer.from(`quarantined ${made}`);
    scene.server.disk?.quarantine.set(digestOf(bytes), { bytes, modifiedAt: Date.now() });
    return { ...content, digest: digestOf(bytes) };
  }
  if (path.includes(':job')) {
    expect((await root('POST', '/api/v1/gc')).status).toBe(200);
    const { jobs } = (await root('GET', '/api/v1/jobs?n=1')).json() as { jobs: { id: string }[] };
    return { ...content, job: jobs[0]?.id ?? '' };
  }
  if (path.includes(':sync')) {
    await manage(root, 'POST', 'syncs', syncOf(repository));
    return { ...content, sync: repository };
  }
  if (path.includes(':webhook')) {
    await manage(root, 'POST', 'webhooks', webhookOf(repository));
    return { ...content, webhook: repository };
  }
  if (path.includes(':rule')) {
    const { id } = (await manage(root, 'POST', 'rules', rule)) as { id: string };
    return { ...content, rule: id };
  }
  if (path.includes(':repository')) {
    const isLocal = path.includes(':image') || op.startsWith('archive.') || op.startsWith('trash.');
    await manage(root, 'POST', 'repositories', (isLocal ? localOf : remoteOf)(repository));
    if (!isLocal) return content;
    const pushed = await pushImage(root, `${repository}/${image}`);
    const manifest = digestOf(pushed.manifest.bytes);
    if (!op.startsWith('trash.')) return { ...content, digest: manifest };
    await root('DELETE', `/v2/${repository}/${image}/manifests/${manifest}`);
    return { ...content, digest: manifest };
  }
  return content;
}

function isRead({ method }: Endpoint): boolean {
  return method === 'GET' || method === 'HEAD';
}

/** What there is, as far as the row could change it: nothing where it only reads. */
async function look(row: Endpoint, content: Content): Promise<readonly string[]> {
  if (isRead(row)) return [];
  const { path } = row;
  const { name, session, account, repository } = content;
  const places = path.startsWith('/v2/:name')
    ? [`/v2/${name}/tags/list`, `/v2/${name}/blobs/${content.digest}`, `/v2/${name}/blobs/uploads/${session}`]
    : [
        'repositories',
        'access/people',
        'accounts',
        `accounts/${account}/tokens`,
        'rules',
        'quotas',
        'keys',
        'quarantine',
        'jobs',
        'syncs',
        'webhooks',
        'session/tokens',
        `repositories/${repository}`,
        `repositories/${repository}/trash`,
      ].map((place) => `/api/v1/${place}`);
  const answers = await Promise.all(places.map((place) => root('GET', place)));
  // A job that an earlier caller started may still be running, and webhooks follow the journal.
  const stable = (body: Buffer): Buffer =>
    Buffer.from(
      body
        .toString()
        .replace(/"jobs":.*/s, ids)
        .replaceAll(/"status":\{"cursor"[^}]*\}/g, ''),
    );
  return answers.map(({ status, headers, body }) => [status, headers['range'], digest(stable(body))].join(' '));
}

/** Reduces a list of jobs to their ids. */
function ids(jobs: string): string {
  return [...jobs.matchAll(/"id":"[^"]*"/g)].join();
}
