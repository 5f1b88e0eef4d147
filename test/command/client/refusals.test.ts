import type { IncomingMessage, ServerResponse } from 'node:http';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { basic, manage, passwordOf, pushImage, startAccess, type AccessScene } from '../../support/access/access.js';
import { digest } from '../../support/content/content.js';
import { listen, type Listening } from '../../support/servers/registry.js';
import { documentsOf, runCommand, type RunOptions, type RunResult } from '../../support/servers/run-command.js';
import { makeScratchFolder, removeScratchFolder } from '../../support/storage/scratch.js';
import { Cleanups } from '../../support/upstreams/remote.js';
import { startSink } from '../../support/webhooks/sink.js';

const cleanups = new Cleanups();
let scene: AccessScene;
let folder: string;
let page: Listening;

beforeAll(async () => {
  folder = await makeScratchFolder();
  cleanups.add(() => removeScratchFolder(folder));
  scene = await startAccess(cleanups, {
    users: ['root', 'ana'],
    repositories: [
      { name: 'local', type: 'local' },
      { name: 'both', type: 'virtual', members: ['local'] },
    ],
    access: { rules: [{ users: ['root'], allow: ['admin'] }] },
    storage: path.join(folder, 'data'),
  });
  await pushImage(scene.as(basic('root')), 'local/app');
  page = await listen((_req, res) => res.end('<html>a web page</html>'));
  cleanups.add(() => page.close());
});
afterAll(() => cleanups.run());

function run(command: string, options: RunOptions = {}, user = 'root'): Promise<RunResult> {
  const words = command.split(' ').map((word) => word.replace('FOLDER', folder).replace('PAGE', page.url));
  const env = {
    ARTIFACTAPI_URL: scene.server.url,
    ARTIFACTAPI_USER: user,
    ARTIFACTAPI_PASSWORD: passwordOf(user),
    ...options.env,
  };
  return runCommand(words, { ...options, env });
}

describe('artifactapi', () => {
  it.each<[command: string, code: number, message: RegExp]>([
    // Refused by the registry: its code, message and detail.
    [
      'repositories show nothing',
      1,
      /refused: repository name not known .*\(NAME_UNKNOWN, 404 Not Found\)\n {2}\{"repos/,
    ],
    [
      'repositories create x --type local --set bogus=1 --set sparse=maybe',
      1,
      /\(OPTIONS_INVALID, 400 Bad Request\)\n(?: {2}.*\n)* {2}bogus: unknown option "bogus"/,
    ],
    ['repositories create local --type local', 1, /already exists \(CONFLICT, 409 Conflict\)/],
    ['repositories delete both --yes', 1, /declared in the registry's options/],
    ['repositories delete local --dry-run', 1, /declared in the registry's options/],
    ['tokens list nobody', 1, /NOT_FOUND/],
    ['tags local/..', 1, /NAME_INVALID/],
    ['images local/app', 2, /"local\/app" names an image: use artifactapi tags local\/app/],
    ['tags local/none', 1, /image not known to this registry \(NAME_UNKNOWN/],
    ['tags local/%2e%2e', 1, /NAME_INVALID/],
    // Failed on the way.
    [
      'images --url http://127.0.0.1:1',
      1,
      /no answer from http:\/\/127\.0\.0\.1:1: .*ECONNREFUSED .*: is the registry running, and at this URL\?/,
    ],
    ['images --url PAGE', 1, /is not a JSON document: is it a registry\?/],
    ['users --config FOLDER/none.yaml', 1, /cannot read the config file: ENOENT/],
    ['users --data FOLDER/data', 1, /has .* open: send the request to that process with --url, or stop it first/],
    ['repositories create x --file FOLDER/none.json', 1, /the document cannot be read: ENOENT/],
    // Used incorrectly.
    ['images --url ftp://host', 2, /invalid URL "ftp:\/\/host"/],
    ['images --url http://host/?a=b', 2, /invalid URL/],
    ['images --url http://host --data FOLDER', 2, /--url names a running registry, --data and --config a stopped one/],
    ['images --data FOLDER --user a:b', 2, /--user is for --url/],
    ['images --data FOLDER/nowhere', 2, /there is no registry in the folder ".*nowhere"/],
    ['images --data FOLDER', 2, /there is no registry in the folder/],
    ['tags', 2, /<image> is required/],
    ['tags local', 2, /invalid image "local"/],
    ['tags local/app:1', 2, /names a tag/],
    ['explain local/app:', 2, /invalid image "local\/app:"/],
    ['images --nothing', 2, /unknown option "--nothing"/],
    ['nothing', 2, /unknown command "nothing"/],
    ['users nothing here', 2, /too many arguments for "list": expected 0, got 2/],
    ['repositories create x', 2, /--type or --file is required/],
    ['repositories create x --type other', 2, /--type: "other" must be one of local, remote, virtual/],
    ['repositories update x --set broken', 2, /invalid setting "broken"/],
    ['repositories update x --set max_cache_bytes=5PB', 2, /max_cache_bytes: "5PB" must be a number of bytes/],
    ['tokens create ci --expires-in soon', 2, /--expires-in: "soon" must be a number of seconds/],
    ['tokens create ci --names a/**', 2, /--names requires --allow/],
    ['users update ci --enable --disable', 2, /exclude each other/],
    ['users update ci --group a --no-groups', 2, /exclude each other/],
    ['can ana fly local/app', 2, /invalid permission "fly"/],
    ['quarantine restore', 2, /name the digests to restore, or pass --all/],
    ['trash restore local/app', 2, /has no tag/],
    ['trash restore local/app:gone', 1, /the trash has no manifest .*: run artifactapi history local\/app:gone to see/],
    [
      'backup nightly',
      1,
      /backups are not configured: set backups\.folder, or stop the registry and run artifactapi backup <folder> --data/,
    ],
    ['backup --data FOLDER/data', 2, /name the folder of the backup/],
    ['backup nightly --data FOLDER/data --url http://host', 2, /--url names a running registry, --data a stopped one/],
    ['import-registry old --into local', 1, /imports are not configured: .* imports\.folders/],
    [
      'import-registry old --into local --data FOLDER/data --url http://host',
      2,
      /--url names a running registry, --data/,
    ],
    ['trash empty local/app:1', 2, /names a tag/],
    ['events --count many', 2, /--count: "many" must be a number/],
    ['completion tcsh', 2, /must be one of bash, zsh, fish|Allowed choices are/],
    // Deletes without a terminal to ask on.
    ['rm local/app', 2, /names a whole image: add --all, or a tag/],
    ['rm local/app:1 --all', 2, /--all is for whole images/],
    ['rm local/app:1', 2, /refusing to delete/],
    ['tag local/app:v1 new --new --expected sha256:00', 2, /exclude each other/],
    ['tag local/app:v1 .bad', 1, /OPTIONS_INVALID.*\n {2}tag: invalid tag/],
    ['retention', 2, /refusing to delete/],
    ['gc --grace soon --yes', 2, /--grace: "soon" must be a number of seconds/],
    ['gc', 2, /refusing to delete without a confirmation/],
    ['repositories delete local', 2, /refusing to delete/],
    ['purge local', 2, /refusing to delete/],
    ['trash empty local', 2, /refusing to delete/],
    ['quarantine delete sha256:00', 2, /refusing to delete/],
  ])('fails on "%s" with exit status %i and prints the reason', async (command, code, message) => {
    const result = await run(command);
    expect(result.stderr).toMatch(message);
    expect(result.stderr).not.toMatch(/\n\s+at /);
    expect([result.code, result.stdout]).toEqual([code, '']);
  });

  it('refuses a backup that names no registry with exit status 2', async () => {
    const { code, stderr } = await runCommand(['backup', 'nightly']);
    expect([code, stderr]).toEqual([
      2,
      'artifactapi: name a stopped registry with --data <folder>, or a running one with --url <url> or ARTIFACTAPI_URL\n',
    ]);
  });

  it('prints the credentials that were used if they are refused', async () => {
    const { code, stderr } = await run('images', { env: { ARTIFACTAPI_PASSWORD: 'wrong' } });
    expect([code, stderr]).toEqual([1, expect.stringMatching(/UNAUTHORIZED.*\n {2}credentials: ARTIFACTAPI_USER\n$/)]);
  });

  it('reports that a user lacks a permission', async () => {
    const { code, stderr } = await run('users', {}, 'ana');
    expect([code, stderr]).toEqual([1, expect.stringContaining('(DENIED, 403 Forbidden)')]);
  });

  it('reads documents from standard input, and refuses input that is not JSON', async () => {
    const created = await run('repositories create piped --file - --json', {
      stdin: '{"repo_type":"local","description":"from a pipe"}',
    });
    expect(documentsOf(created.stdout)[0]).toMatchObject({ name: 'piped', description: 'from a pipe' });
    for (const [stdin, message] of [
      ['{', /is not JSON/],
      ['[]', /is not a JSON object/],
    ] as const) {
      const { code, stderr } = await run('repositories create other --file -', { stdin });
      expect([code, stderr]).toEqual([1, expect.stringMatching(message)]);
    }
  });
});

describe('webhooks test', () => {
  it.each<[status: number | undefined, code: number, stderr: string]>([
    [200, 0, ''],
    [204, 0, ''],
    [299, 0, ''],
    [304, 1, 'artifactapi: webhook ci was answered with 304\n'],
    [307, 1, 'artifactapi: webhook ci was answered with 307\n'],
    [401, 1, 'artifactapi: webhook ci was answered with 401\n'],
    [503, 1, 'artifactapi: webhook ci was answered with 503\n'],
    [undefined, 1, 'artifactapi: webhook ci did not arrive: the connection was refused\n'],
  ])('shows the answer %o of the receiver and exits with status %i', async (status, code, stderr) => {
    const receiver = await startSink();
    cleanups.add(() => receiver.close());
    if (status !== undefined) receiver.always(status);
    // Nothing listens on port 1.
    const url = status === undefined ? 'http://127.0.0.1:1/' : receiver.url;
    const hook = { url, secret: 'a-secret-of-24-characters', format: 'cloudevents', events: ['push'] };
    await manage(scene.as(basic('root')), 'POST', 'webhooks', { name: 'ci', ...hook });
    const [shown, json] = [await run('webhooks test ci'), await run('webhooks test ci --json')];
    await run('webhooks delete ci');
    expect([shown.code, shown.stderr, json.code, json.stderr]).toEqual([code, stderr, code, stderr]);
    expect(shown.stdout).toMatch(
      status === undefined ? /^error: +the connection was refused$/m : `status:      ${status}\n`,
    );
    expect(documentsOf(json.stdout)[0]).toMatchObject(
      status === undefined ? { error: 'the connection was refused' } : { status },
    );
  });
});

describe('a command whose work is only partly done', () => {
  it('deletes the allowed part and lists what was refused', async () => {
    await pushImage(scene.as(basic('root')), 'local/parts');
    const none = await run('rm local/parts:none --yes --json');
    expect([none.code, none.stderr]).toEqual([1, expect.stringContaining('\n  tag "none" does not exist\n')]);
    const part = await run('rm local/parts:v1 local/parts:none --yes --json');
    expect([part.code, documentsOf(part.stdout)[0]]).toMatchObject([3, { counts: { tags: 1, refused: 1 } }]);
  });

  it('exits with status 3 and lists what failed', async () => {
    const known = digest('known');
    const answer = (req: IncomingMessage, res: ServerResponse): void => {
      req.resume();
      if (req.url?.endsWith('/restore') === true) res.end(JSON.stringify({ restored: 1, missing: ['sha256:00'] }));
      else if (req.url?.includes(encodeURIComponent(known)) === true) res.writeHead(204).end();
      else res.writeHead(404).end('{"errors":[{"code":"NOT_FOUND","message":"not found"}]}');
    };
    const listening = await listen(answer);
    cleanups.add(() => listening.close());
    const env = { ARTIFACTAPI_URL: listening.url };
    const deleted = await runCommand(['quarantine', 'delete', known, 'sha256:00', '--yes'], { env });
    expect([deleted.code, deleted.stdout]).toEqual([3, `deleted ${known}\n`]);
    expect(deleted.stderr).toMatch(
      /^artifactapi: sha256:00: the registry refused: not found.*\nartifactapi: 1 of 2 failed\n$/,
    );
    const restored = await runCommand(['quarantine', 'restore', known, 'sha256:00', '--json'], { env });
    expect([restored.code, documentsOf(restored.stdout)]).toEqual([3, [{ restored: 1, missing: ['sha256:00'] }]]);
  });
});

describe('a question before a change', () => {
  it.each([
    ['y\n', 0, 'blobs deleted'],
    ['yes\n', 0, 'blobs deleted'],
    ['n\n', 1, ''],
    ['\n', 1, ''],
    ['perhaps\n', 1, ''],
  ])('is answered with %j, and the command exits with status %i', async (stdin, code, printed) => {
    const result = await run('gc', { stdin, isTerminal: true });
    expect(result.stderr).toMatch(/^would collect:\n(?:.*\n)+Collect garbage now\? \[y\/N\] /);
    expect(result.code).toBe(code);
    expect(result.stdout.includes('blobs deleted')).toBe(printed !== '');
    if (code === 1) expect(result.stderr).toContain('artifactapi: cancelled: nothing was changed\n');
  });

  it('shows what a deletion would delete, and nothing is deleted without a confirmation', async () => {
    await run('repositories create doomed --type local');
    await pushImage(scene.as(basic('root')), 'doomed/app');
    const refused = await run('repositories delete doomed', { stdin: 'n\n', isTerminal: true });
    expect(refused.stderr).toMatch(
      /would delete repository doomed:\nimages: 1\ntags: {3}1\nsize: {3}\d+ B\nDelete repo/,
    );
    expect((await run('repositories show doomed')).code).toBe(0);
    const agreed = await run('repositories delete doomed', { stdin: 'y\n', isTerminal: true });
    expect([agreed.code, agreed.stdout]).toEqual([0, 'deleted repository doomed\n']);
    expect((await run('repositories show doomed')).code).toBe(1);
  });
});

describe('the output of a command', () => {
  it('has relative times and short digests on a terminal, and whole ones elsewhere', async () => {
    const [short, whole] = [await run('tags local/app', { isTerminal: true }), await run('tags local/app')];
    expect(short.stdout).toMatch(
      /^TAG +DIGEST +TYPE +SIZE +UPDATED\nv1 +sha256:[0-9a-f]{12} +image +\d+ B +(?:now|\d+ s ago)\n$/,
    );
    expect(whole.stdout).toMatch(/^TAG[^\n]*\nv1 +sha256:[0-9a-f]{64} +image +\d+ B +\d{4}-\d\d-\d\dT[\d:.]+Z\n$/);
  });

  it('says that there are no retention policies', async () => {
    const result = await run('retention --dry-run');
    expect(result).toEqual({ code: 0, stdout: '', stderr: 'no retention policies are configured\n' });
  });

  it('contains all pages of a list', async () => {
    const server = await listen((req, res) => {
      const last = Number(new URL(req.url ?? '', 'http://host').searchParams.get('last') ?? 0);
      if (last < 3) res.setHeader('Link', `</behind/a/proxy?n=1000&last=${last + 1}>; rel="next"`);
      res.setHeader('Content-Type', 'application/json').end(JSON.stringify({ tags: [{ name: `t${last}` }] }));
    });
    cleanups.add(() => server.close());
    const { stdout } = await runCommand(['tags', 'local/app', '--json', '--url', `${server.url}/behind/`]);
    expect(documentsOf(stdout).map(({ name }) => name)).toEqual(['t0', 't1', 't2', 't3']);
  });

  it('shows replacement characters instead of control characters in data from others', async () => {
    const server = await listen((_req, res) => {
      res.setHeader('Content-Type', 'application/json').end(JSON.stringify({ tags: [{ name: 'a\u001b[31m\u202eb' }] }));
    });
    cleanups.add(() => server.close());
    const { stdout } = await runCommand(['tags', 'local/app', '--url', server.url]);
    expect(stdout).toContain('a\ufffd[31m\ufffdb');
    expect(['\u001b', '\u202e'].filter((one) => stdout.includes(one))).toEqual([]);
  });

  it('continues with new events until the command is interrupted', async () => {
    const stop = new AbortController();
    const following = runCommand(['events', '--follow', '--json'], {
      env: { ARTIFACTAPI_URL: scene.server.url, ARTIFACTAPI_USER: 'root', ARTIFACTAPI_PASSWORD: passwordOf('root') },
      signal: stop.signal,
      onOutput: () => stop.abort(),
    });
    let pushes: Promise<unknown> = Promise.resolve();
    const timer = setInterval(() => {
      pushes = pushes.then(() => pushImage(scene.as(basic('root')), 'local/app', `at ${Date.now()}`));
    }, 300);
    const { code, stdout } = await following;
    clearInterval(timer);
    await pushes;
    expect(code).toBe(0);
    expect(documentsOf(stdout)[0]).toMatchObject({ repository: 'local', image: 'app', by: { principal: 'root' } });
  });
});
