import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { stringify } from 'yaml';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { managementEndpoints } from '../../../src/protocol/tables/management.js';
import {
  basic,
  htpasswdOf,
  passwordOf,
  pushImage,
  startAccess,
  type AccessScene,
} from '../../support/access/access.js';
import { buildImage, entriesOf, layoutOf, tarOf } from '../../support/content/archives.js';
import { digest } from '../../support/content/content.js';
import { documentsOf, runCommand, type RunResult } from '../../support/servers/run-command.js';
import { makeScratchFolder, removeScratchFolder } from '../../support/storage/scratch.js';
import { Cleanups } from '../../support/upstreams/remote.js';

const options = {
  repositories: [
    { name: 'local', type: 'local' },
    { name: 'hub', type: 'remote', url: 'http://127.0.0.1:1' },
    { name: 'both', type: 'virtual', members: ['local', 'hub'], pushTo: 'local' },
  ],
} as const;
/** Keeps nothing of one image, so the first run waits for a confirmation. */
const retention = { everySeconds: 86_400, policies: [{ names: ['local/team/**'], keep: [{ tags: ['kept'] }] }] };
const rules = [
  { users: ['root'], allow: ['admin'] },
  { names: 'local', groups: ['team'], allow: ['pull'] },
] as const;

/** Operations of the API that need no command. */
const withoutCommand: readonly string[] = [
  // For generators of clients and the web UI.
  'openapi.get',
  // For the web UI: it finds out what proxies between a browser and the registry let through.
  'selftest.body',
  // For the web UI: clients pull blobs, and `artifactapi export` writes them to a file.
  'image.blob',
  // For the web UI.
  'session.get',
  'session.create',
  'session.delete',
  'session.list',
  'session.endAll',
  'session.end',
  'session.tokens',
  'session.createToken',
  'session.deleteToken',
  'session.beginLogin',
  'session.completeLogin',
  // For dashboards and the web UI.
  'statistics.get',
  'request.list',
  'metrics.get',
];

/**
 * One command per line, run in this order. `ID` is the id in the last document that had one, `DIGEST` the manifest of
 * local/team/app. The number is the exit code, if it is not 0.
 */
const table: readonly (readonly [command: string, code?: number])[] = [
  ['health'],
  ['status'],
  ['repositories'],
  ['repositories list'],
  ['repositories show local'],
  ['repositories create team --type local --description made'],
  ['repositories create quay --type remote --upstream http://127.0.0.1:1 --set tag_ttl_seconds=5m --set pins=["a"]'],
  ['repositories create team --type local', 1],
  ['repositories update team --description changed'],
  ['repositories delete quay --dry-run'],
  ['repositories delete quay --yes'],
  ['repositories immutable local v1'],
  ['reload', 1],
  ['syncs create base --from hub --to local --image alpine --tag 3.* --set every_seconds=1d'],
  ['syncs'],
  ['syncs show base'],
  ['syncs update base --set referrers=true'],
  ['syncs delete base'],
  ['syncs show base', 1],
  [
    'webhooks create ci --to http://127.0.0.1:1/ --secret-file FOLDER/secret --event push --name local/** --set timeout_seconds=1s',
  ],
  ['webhooks create bad --to ftp://127.0.0.1:1/ --secret-file FOLDER/secret', 1],
  ['webhooks'],
  ['webhooks show ci'],
  ['webhooks update ci --event tag --set previous_secret=null'],
  ['webhooks test ci', 1],
  ['webhooks deliveries ci'],
  ['webhooks resend ci 1', 1],
  ['webhooks delete ci'],
  ['images'],
  ['images local'],
  ['images both'],
  ['tags local/team/app'],
  ['tags local/team/app --untagged'],
  ['tags local/nothing', 1],
  ['summary local/team/app'],
  ['summary local/nothing', 1],
  ['summary local/team/app:v1', 2],
  ['manifest local/team/app:v1'],
  ['manifest local/team/app', 1],
  ['history local/team/app:v1'],
  ['history local/team/app', 2],
  ['import FOLDER/image.tar --to local/imported/app:2'],
  ['tags local/imported/app'],
  ['export local/imported/app:2 -o FOLDER/out.tar'],
  ['explain both/team/app:v1'],
  ['explain local/nothing'],
  ['purge hub --dry-run'],
  ['purge hub/library/alpine --dry-run'],
  ['purge hub/library/alpine:3 --dry-run'],
  ['purge hub --yes'],
  ['purge local --yes', 1],
  ['refresh local/team/app:v1', 1],
  ['refresh hub', 2],
  ['probe local', 1],
  ['probe hub', 1],
  ['gc --dry-run'],
  ['gc --yes'],
  ['gc --grace 0 --dry-run'],
  ['gc --grace 1h --yes'],
  ['scrub local --rate 1GB'],
  ['scrub nothing/at/all', 1],
  ['damage'],
  ['quarantine'],
  ['quarantine restore --all'],
  [`quarantine restore ${digest('absent')}`, 1],
  [`quarantine delete ${digest('absent')} --yes`, 1],
  ['tag local/team/app:v1 stable --new'],
  ['tag local/team/app:v1 stable --new', 1],
  ['rm local/team/app:stable local/team/app:none --dry-run'],
  ['tag local/team/app:v1 stable --override'],
  ['rm local/team/app:stable local/team/app:none --yes --override', 3],
  ['history local/team/app:stable'],
  ['tag local/team/app@DIGEST stable'],
  ['rm local/team/app:none --yes', 1],
  ['rm local/imported/app --all --yes'],
  ['trash local'],
  ['trash restore local/gone/app:v1'],
  ['trash restore local/gone/app:v1', 1],
  ['trash restore local/gone/other:v1 --tag back'],
  ['trash empty local --dry-run'],
  ['trash empty local/gone/app --yes'],
  ['trash hub', 1],
  ['quotas'],
  ['quotas set local/team/** 50GiB'],
  ['quotas set local/team/**,local/gone/** 1000'],
  ['quotas set local/team/** 60GiB'],
  ['quotas'],
  ['quotas set local/team/** lots', 2],
  ['quotas delete local/team/**'],
  ['quotas delete local/team/**', 1],
  ['people'],
  ['people disable root', 1],
  ['people enable nobody', 1],
  ['people remove nobody', 1],
  ['users create ci --group team --description server'],
  ['users'],
  ['users show ci'],
  ['users update ci --disable'],
  ['users update ci --enable --no-groups'],
  ['tokens create ci --expires-in 1h --allow pull --names local/**'],
  ['tokens ci'],
  ['tokens delete ci ID'],
  ['users delete ci'],
  ['users show ci', 1],
  ['rules'],
  ['rules create --names local/** --for-user ana --for-group team --allow pull,push'],
  ['rules show ID'],
  ['rules update ID --allow pull'],
  ['rules delete ID'],
  ['rules delete declared-1', 1],
  ['rules create --for-authenticated --allow fly', 1],
  ['can root admin'],
  ['can ana local/app'],
  ['can ana pull local/app --group team'],
  ['can anonymous push local/app', 1],
  ['keys'],
  ['keys rotate'],
  ['jobs start garbage --dry-run --wait'],
  ['jobs show ID'],
  ['jobs confirm ID', 1],
  ['jobs cancel ID'],
  ['jobs show ID', 1],
  ['events --type tag.moved --count 1'],
  ['events local/team/app --by nobody'],
  ['events --type nothing', 1],
  ['jobs start nothing', 1],
  ['jobs --kind nothing'],
  ['retention --dry-run'],
  ['jobs plan nothing', 1],
  ['retention local/team/** --yes'],
];

const cleanups = new Cleanups();
const answers: Record<'server' | 'folder', RunResult[]> = { server: [], folder: [] };
const ops = new Set<string>();
let folder: string;
let appDigest: string;

beforeAll(async () => {
  folder = await makeScratchFolder();
  cleanups.add(() => removeScratchFolder(folder));
  const built = buildImage('of the command');
  await writeFile(path.join(folder, 'image.tar'), await tarOf(entriesOf(layoutOf(built, 'imported/app:1'))));
  await writeFile(path.join(folder, 'secret'), 'a-secret-of-24-characters\n');
  await writeFile(path.join(folder, 'users'), htpasswdOf(['root']));
  const config = { ...options, retention, access: { htpasswd: path.join(folder, 'users'), rules } };
  await writeFile(path.join(folder, 'config.yaml'), stringify(config));

  const stopped = await open('stopped');
  await stopped.server.close();
  const running = await open('running');
  running.server.registry.events.on('request', ({ op }) => ops.add(op));
  const env = {
    ARTIFACTAPI_URL: running.server.url,
    ARTIFACTAPI_USER: 'root',
    ARTIFACTAPI_PASSWORD: passwordOf('root'),
  };
  answers.server = await runTable([], env);
  await running.server.close();
  const flags = ['--data', path.join(folder, 'stopped'), '--config', path.join(folder, 'config.yaml')];
  answers.folder = await runTable(flags, {});
});
afterAll(() => cleanups.run());

async function open(name: string): Promise<AccessScene> {
  const scene = await startAccess(cleanups, {
    ...options,
    retention,
    access: { rules },
    storage: path.join(folder, name),
  });
  const root = scene.as(basic('root'));
  const { manifest } = await pushImage(root, 'local/team/app');
  appDigest = manifest.digest;
  for (const name of ['local/gone/app', 'local/gone/other']) {
    const { manifest } = await pushImage(root, name);
    await root('DELETE', `/v2/${name}/manifests/${manifest.digest}`);
  }
  return scene;
}

async function runTable(flags: readonly string[], env: Readonly<Record<string, string>>): Promise<RunResult[]> {
  let id = '';
  const results: RunResult[] = [];
  for (const [command] of table) {
    const words = command
      .split(' ')
      .map((word) => word.replace('FOLDER', folder).replace('DIGEST', appDigest).replace(/^ID$/, id));
    const json = /^(?:import|export) /.test(command) ? [] : ['--json'];
    const result = await runCommand([...words, ...json, ...flags], { env });
    if (json.length > 0) id = (documentsOf(result.stdout)[0]?.['id'] as string | undefined) ?? id;
    results.push(result);
  }
  return results;
}

/** Hides what differs between two registries: times, ids and secrets. */
function comparable({ code, stdout, stderr }: RunResult): object {
  const hide = (text: string): string =>
    text
      .replaceAll(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, '<time>')
      .replaceAll(/[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/g, '<uuid>')
      .replaceAll(/aat_[\w-]+/g, '<token>')
      .replaceAll(/"id":"(?!declared)[\w-]+"/g, '"id":"<id>"')
      .replaceAll(/token [0-9a-f]{16}/g, 'token <id>')
      .replaceAll(/"(\w*by)":\{[^}]*\}/g, '"$1":"<actor>"')
      .replaceAll(/"pushed_by":"[^"]*"/g, '"pushed_by":"<user>"')
      .replaceAll(/"(seq|cursor|duration_ms)":\d+/g, '"$1":0')
      .replaceAll(/(?:garbage|retention)-[0-9a-f]{12}/g, '<job>')
      // The reserve grows in the background after a start.
      .replaceAll(/"blobs":\{[^}]*\}/g, '"blobs":"<disk>"');
  return { code, stdout: hide(withoutFigures(stdout)), stderr: hide(stderr) };
}

/** Leaves out the figures of a status, which are computed in the background. */
function withoutFigures(stdout: string): string {
  if (!stdout.startsWith('{"stored_bytes"')) return stdout;
  const { stored_bytes, repositories } = JSON.parse(stdout) as {
    stored_bytes: number;
    repositories: { name: string; repo_type: string }[];
  };
  return JSON.stringify({ stored_bytes, repositories: repositories.map((one) => [one.name, one.repo_type]) });
}

describe('a command against a running registry and against its data folder', () => {
  it.each(table.map(([command, code = 0], i) => [command, code, i] as const))(
    'answers alike: artifactapi %s (exit code %i)',
    (_command, code, i) => {
      const [server, own] = [answers.server[i], answers.folder[i]];
      if (server === undefined || own === undefined) throw new Error('the command did not run');
      expect(server.code, server.stderr).toBe(code);
      expect(comparable(own)).toEqual(comparable(server));
    },
  );

  it('covers every operation of the management API, or the list of those without a command', () => {
    const uncovered = managementEndpoints.map(({ op }) => op).filter((op) => !ops.has(op));
    expect(uncovered).toEqual(withoutCommand);
  });
});

describe('a data folder without a config file', () => {
  const data = (): readonly string[] => ['--data', path.join(folder, 'stopped')];

  it('has the repositories that its last start declared, and the accounts and keys in its index', async () => {
    const listed = await runCommand(['repositories', '--json', ...data()]);
    expect(documentsOf(listed.stdout).map(({ name, origin }) => [name, origin])).toEqual([
      ['both', 'declared'],
      ['hub', 'declared'],
      ['local', 'declared'],
      ['team', 'managed'],
    ]);
    const images = await runCommand(['images', 'local', '--json', ...data()]);
    expect(documentsOf(images.stdout).map(({ name }) => name)).toEqual(['gone/app', 'gone/other', 'team/app']);
    expect(documentsOf((await runCommand(['rules', '--json', ...data()])).stdout)).toEqual([]);
    expect(documentsOf((await runCommand(['keys', '--json', ...data()])).stdout)).toHaveLength(2);
  });
});
