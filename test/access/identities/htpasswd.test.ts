import { hashSync } from 'bcryptjs';
import { rename, rm, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { HtpasswdError } from '../../../src/access/identities/htpasswd-file.js';
import { HtpasswdSource } from '../../../src/access/identities/htpasswd.js';
import { LoginThrottle } from '../../../src/access/identities/login-throttle.js';
import { PasswordClient, type PasswordVerifier } from '../../../src/access/identities/password-client.js';
import { recordingLogger } from '../../support/servers/registry.js';
import { makeScratchFolder, removeScratchFolder } from '../../support/storage/scratch.js';

const alice = hashSync('wonderland', 4);
const bob = hashSync('builder', 4);
/** Made by crypt(3) of libxcrypt, as `htpasswd -B` does. */
const apache = '$2y$05$Wn3cPqLzR8vKd5TgYb1hO.g9KYuiQcsmuxeKm4Phy/5gwLp5b5gHC';
const here = { address: '192.0.2.1' };
const users = `alice:${alice}\nbob:${bob}\n`;

/** Verifies by a table of hashes and passwords, and records its calls. */
class ScriptedVerifier implements PasswordVerifier {
  readonly asked: { readonly password: string; readonly hash: string }[] = [];
  readonly passwords = new Map([
    [alice, 'wonderland'],
    [bob, 'builder'],
  ]);
  failure: Error | undefined;
  closed = false;

  async verify(password: string, hash: string): Promise<boolean> {
    this.asked.push({ password, hash });
    await Promise.resolve();
    if (this.failure !== undefined) throw this.failure;
    return this.passwords.get(hash) === password;
  }

  async close(): Promise<void> {
    this.closed = true;
  }
}

let folder = '';
let path = '';
let now = 0;
let log = recordingLogger();
let verifier = new ScriptedVerifier();
const throttle = new LoginThrottle({ now: () => now, sleep: async () => {} });

beforeEach(async () => {
  folder = await makeScratchFolder();
  path = join(folder, 'users.htpasswd');
  now = 1_000_000_000;
  log = recordingLogger();
  verifier = new ScriptedVerifier();
});
afterEach(() => removeScratchFolder(folder));

async function open(
  text: string,
  options: { readonly cacheSeconds?: number; readonly verifier?: PasswordVerifier } = {},
): Promise<HtpasswdSource> {
  await writeFile(path, text);
  return HtpasswdSource.open({ path, verifier, throttle, runtime: { now: () => now, log }, ...options });
}

/** Returns the identity, or `undefined` when the login is refused. */
async function logIn(source: HtpasswdSource, username: string, password: string, from = here) {
  const found = await source.login(username, password, from);
  return typeof found === 'string' ? undefined : found;
}

/** Replaces the file as editors do, and advances the clock to the next check for changes. */
async function replaceFile(text: string): Promise<void> {
  await writeFile(`${path}.new`, text);
  await rename(`${path}.new`, path);
  now += 1000;
}

describe('HtpasswdSource.open', () => {
  it.each<[string, string]>([
    ['users', users],
    ['comments, blank lines and surrounding spaces', `# people\r\n\r\n  alice:${alice}  \r\n   \n#bob:x\nbob:${bob}`],
    ['a comment after a second colon', `alice:${alice}:of the dev team\nbob:${bob}:\n`],
  ])('accepts a file with %s', async (_what, text) => {
    const source = await open(text);
    expect(await Promise.all(['alice', 'bob', 'carol', ''].map((name) => source.has(name)))).toEqual([
      true,
      true,
      false,
      false,
    ]);
  });

  it.each(['$2a$', '$2b$', '$2y$'])('accepts a hash of version %s', async (version) => {
    const source = await open(`alice:${alice.replace('$2b$', version)}`);
    expect(await source.has('alice')).toBe(true);
  });

  const bcryptOnly = 'the password is not hashed with bcrypt: set it again with htpasswd -B -C 10';
  it.each<[string, string, string]>([
    ['MD5', 'carol:$apr1$Wn3cPqLz$secretsecretsecretsec.', bcryptOnly],
    ['SHA', 'carol:{SHA}secretsecretsecretsecretsec=', bcryptOnly],
    ['crypt', 'carol:secretsecret.', bcryptOnly],
    ['plain text', 'carol:secret', bcryptOnly],
    ['an unknown bcrypt version', `carol:${alice.replace('$2b$', '$2x$')}`, bcryptOnly],
    ['a truncated hash', `carol:${alice.slice(0, -1)}`, bcryptOnly],
    ['no password', 'carol:', bcryptOnly],
    ['no colon', 'carol', 'must be name:hash'],
    ['no name', `:${alice}`, 'the name must have 1 to 200 characters, without spaces'],
    ['a space in the name', `carol smith:${alice}`, 'the name must have 1 to 200 characters, without spaces'],
    ['a repeated name', `alice:${bob}`, 'the file has another line with this name'],
    [
      'a cost of 16',
      `carol:${alice.replace('$04$', '$16$')}`,
      'the bcrypt cost must be at most 15: a higher cost makes each login take many seconds',
    ],
    ['a cost of 3', `carol:${alice.replace('$04$', '$03$')}`, 'the bcrypt cost must be at least 4'],
  ])('rejects a line with %s, and names the file and the line but not its content', async (_what, line, problem) => {
    const expected = new HtpasswdError(`htpasswd file "${path}", line 4: ${problem}`);
    await expect(open(`alice:${alice}\n\n# more\n${line}\n`)).rejects.toEqual(expected);
  });

  it('reports how many more lines are invalid', async () => {
    await expect(open('a:b\nc:d\ne:f\n')).rejects.toThrow(/line 1: .* \(and 2 more invalid lines\)$/);
  });

  it('rejects a missing file with the command that creates it', async () => {
    const options = { path, verifier, throttle, runtime: { now: () => now, log } };
    await expect(HtpasswdSource.open(options)).rejects.toThrow(
      `the htpasswd file "${path}" does not exist: create it with htpasswd -B -C 10 -c ${path} <name>`,
    );
  });
});

describe('a login', () => {
  it.each<[string, string, string | undefined]>([
    ['alice', 'wonderland', 'alice'],
    ['alice', 'Wonderland', undefined],
    ['Alice', 'wonderland', undefined],
    ['carol', 'wonderland', undefined],
    ['bob', 'wonderland', undefined],
    ['apache', 'correct horse battery staple', 'apache'],
    ['apache', 'correct horse', undefined],
  ])('of %s with %s is verified with bcrypt: %s', async (username, password, id) => {
    const source = await open(`${users}apache:${apache}\n`, { verifier: new PasswordClient() });
    const identity = await logIn(source, username, password);
    await source.close();
    expect(identity?.id).toBe(id);
  });

  it('returns a stamp that is not a part of the hash', async () => {
    const identity = await logIn(await open(users), 'alice', 'wonderland');
    expect(identity).toEqual({
      id: 'alice',
      groups: [],
      stamp: expect.stringMatching(/^[\w-]{16}$/) as string,
    });
    expect(alice).not.toContain(identity?.stamp);
  });

  it.each(['alice', 'carol', '', 'x'.repeat(1000), 'a\0b'])(
    'of "%s" verifies one password of the same cost',
    async (name) => {
      const source = await open(users);
      expect(await logIn(source, name, 'wrong')).toBeUndefined();
      expect(verifier.asked.map(({ password, hash }) => [password, hash.slice(0, 7), hash.length])).toEqual([
        ['wrong', '$2b$04$', 60],
      ]);
    },
  );

  it('of an unknown name is verified at a cost from the file, always the same for a name', async () => {
    const source = await open(`alice:${alice}\nbob:${bob.replace('$04$', '$06$')}\n`);
    const costs = async (address: string): Promise<string[]> => {
      verifier.asked.length = 0;
      for (let i = 0; i < 100; i++) await logIn(source, `unknown${i}`, 'wrong', { address });
      return verifier.asked.map(({ hash }) => hash.slice(4, 6));
    };
    const first = await costs('192.0.2.1');
    expect(new Set(first)).toEqual(new Set(['04', '06']));
    expect(await costs('192.0.2.2')).toEqual(first);
  });

  it('is verified even if the file has no users', async () => {
    const source = await open('# no users yet\n');
    expect(await logIn(source, 'alice', 'wonderland')).toBeUndefined();
    expect(verifier.asked).toHaveLength(1);
  });

  it('of an unknown name fails even if the verifier accepts the password', async () => {
    const source = await open(users, { verifier: { verify: async () => true, close: async () => {} } });
    expect(await logIn(source, 'carol', 'anything')).toBeUndefined();
    expect(await logIn(source, 'carol', 'anything')).toBeUndefined();
  });

  it.each<[string, string]>([
    ['empty', ''],
    ['longer than bcrypt reads', 'x'.repeat(73)],
    ['longer than bcrypt reads, in bytes', 'ä'.repeat(37)],
    ['the right one, repeated as bcrypt repeats it', 'wonderland\0wonderland'],
  ])('fails without a verification if the password is %s', async (_what, password) => {
    const source = await open(users);
    verifier.passwords.set(alice, password);
    expect(await logIn(source, 'alice', password)).toBeUndefined();
    expect(verifier.asked).toEqual([]);
  });

  it.each<[string, string, string]>([
    ['alice', 'wrong', 'wrong password'],
    ['carol', 'wonderland', 'unknown user'],
    ['alice', 'x'.repeat(73), 'malformed'],
  ])('of %s with %s reports the reason for operators: %s', async (username, password, problem) => {
    expect(await (await open(users)).login(username, password, here)).toBe(problem);
  });

  it('accepts a password of 72 bytes', async () => {
    const source = await open(users);
    const password = 'ä'.repeat(36);
    verifier.passwords.set(alice, password);
    expect((await logIn(source, 'alice', password))?.id).toBe('alice');
  });

  it('rejects with the error of a failed verification, which is not cached', async () => {
    const source = await open(users);
    verifier.failure = new Error('the thread died');
    await expect(logIn(source, 'alice', 'wonderland')).rejects.toThrow('the thread died');
    verifier.failure = undefined;
    expect((await logIn(source, 'alice', 'wonderland'))?.id).toBe('alice');
  });

  it.each<[string, string, boolean]>([
    ['alice', 'x', true],
    ['unknown', 'x', true],
    ['', 'x', true],
    ['alice', '', false],
  ])('is claimed for user "%s" and password "%s": %s', async (name, password, expected) => {
    expect((await open(users)).claims(name, password)).toBe(expected);
  });
});

describe('the result of a verification', () => {
  it('is cached for five minutes for a right password', async () => {
    const source = await open(users);
    const login = async (): Promise<number> => {
      expect((await logIn(source, 'alice', 'wonderland'))?.id).toBe('alice');
      return verifier.asked.length;
    };
    expect([await login(), await login()]).toEqual([1, 1]);
    now += 299_999;
    expect(await login()).toBe(1);
    now += 2;
    expect(await login()).toBe(2);
  });

  it.each<[string, string, string]>([
    ['a wrong password', 'alice', 'wrong'],
    ['an unknown name', 'carol', 'wonderland'],
  ])('is cached per address for %s', async (_what, username, password) => {
    const source = await open(users);
    for (let i = 0; i < 3; i++) expect(await logIn(source, username, password)).toBeUndefined();
    expect(verifier.asked).toHaveLength(1);
    expect(await logIn(source, username, password, { address: '198.51.100.7' })).toBeUndefined();
    expect(verifier.asked).toHaveLength(2);
    now += 300_001;
    await logIn(source, username, password);
    expect(verifier.asked).toHaveLength(3);
  });

  it('for a wrong password is dropped when the line changes', async () => {
    const source = await open(users);
    await logIn(source, 'alice', 'builder');
    await replaceFile(`alice:${bob}\n`);
    expect((await logIn(source, 'alice', 'builder'))?.id).toBe('alice');
  });

  it('applies only to the same name and password', async () => {
    const source = await open(users);
    await logIn(source, 'alice', 'wonderland');
    const others = [
      ['bob', 'wonderland'],
      ['alice', 'builder'],
      ['alicew', 'onderland'],
    ] as const;
    for (const [username, password] of others) expect(await logIn(source, username, password)).toBeUndefined();
    expect(verifier.asked).toHaveLength(4);
  });

  it('for a right password is dropped when the line changes', async () => {
    const source = await open(users);
    await logIn(source, 'alice', 'wonderland');
    await replaceFile(`alice:${bob}\n`);
    expect(await logIn(source, 'alice', 'wonderland')).toBeUndefined();
    expect((await logIn(source, 'alice', 'builder'))?.id).toBe('alice');
  });

  it('is not cached if cacheSeconds is 0', async () => {
    const source = await open(users, { cacheSeconds: 0 });
    for (let i = 0; i < 3; i++) await logIn(source, 'alice', 'wonderland');
    expect(verifier.asked).toHaveLength(3);
  });

  it('is shared by concurrent logins', async () => {
    const source = await open(users);
    const logins = ['wonderland', 'wrong', 'wonderland', 'wrong'].map((password) => logIn(source, 'alice', password));
    const ids = (await Promise.all(logins)).map((identity) => identity?.id);
    expect(ids).toEqual(['alice', undefined, 'alice', undefined]);
    expect(verifier.asked.map(({ password }) => password).sort()).toEqual(['wonderland', 'wrong']);
  });
});

describe('a stamp', () => {
  it('is valid while its line is unchanged, also after a restart', async () => {
    const source = await open(users);
    const identity = await logIn(source, 'alice', 'wonderland');
    const stamp = identity?.stamp ?? '';
    expect(await source.revive('alice', stamp)).toEqual(identity);
    expect(await (await open(users)).revive('alice', stamp)).toEqual(identity);
    await replaceFile(`# moved\nbob:${alice}\nalice:${alice}\n`);
    expect(await source.revive('alice', stamp)).toEqual(identity);
    for (const [id, other] of [
      ['bob', stamp],
      ['alice', ''],
      ['carol', stamp],
    ] as const) {
      expect(await source.revive(id, other)).toBeUndefined();
    }
  });

  it.each([
    ['changes', `alice:${bob}\n`],
    ['is removed', `bob:${bob}\n`],
    ['becomes invalid', 'alice:secret\n'],
  ])('becomes invalid when the line %s', async (_what, text) => {
    const source = await open(users);
    const stamp = (await logIn(source, 'alice', 'wonderland'))?.stamp ?? '';
    await replaceFile(text);
    expect(await source.revive('alice', stamp)).toBeUndefined();
  });
});

describe('the htpasswd file', () => {
  it('is checked for changes at most once a second', async () => {
    const source = await open(users);
    await replaceFile(`${users}carol:${alice}\n`);
    now -= 1;
    expect(await source.has('carol')).toBe(false);
    now += 1;
    expect(await source.has('carol')).toBe(true);
  });

  it('is checked for changes after the clock was set back', async () => {
    const source = await open(users);
    await replaceFile(`${users}carol:${alice}\n`);
    now -= 3_600_000;
    expect(await source.has('carol')).toBe(true);
  });

  it('is read again when only its modification time changed', async () => {
    const source = await open(users);
    await writeFile(path, `alyce:${alice}\nbob:${bob}\n`);
    await utimes(path, 1_700_000_000, 1_700_000_000);
    now += 1000;
    expect([await source.has('alyce'), await source.has('alice')]).toEqual([true, false]);
  });

  it('keeps its valid lines after a change, and the others are logged without their hashes', async () => {
    const source = await open(users);
    await replaceFile(`alice:${alice}\nbob:secret\ncarol:${bob}\ncarol:${alice}\n`);
    expect(await Promise.all(['alice', 'bob', 'carol'].map((name) => source.has(name)))).toEqual([true, false, true]);
    now += 1000;
    await source.has('alice');
    expect(log.lines).toEqual([
      {
        level: 'warn',
        message: 'invalid lines of the htpasswd file ignored',
        fields: {
          path,
          count: 2,
          problems: [
            { line: 2, problem: 'the password is not hashed with bcrypt: set it again with htpasswd -B -C 10' },
            { line: 4, problem: 'the file has another line with this name' },
          ],
        },
      },
    ]);
  });

  it('stays in force while it is unreadable, which is logged once', async () => {
    const source = await open(users);
    const check = async (): Promise<boolean> => {
      now += 1000;
      return source.has('alice');
    };
    const messages = (): string[] => log.lines.map(({ level, message }) => `${level}: ${message}`);
    const warning = 'warn: htpasswd file unreadable: its previous content stays in force';
    await rm(path);
    expect([await check(), await check(), messages()]).toEqual([true, true, [warning]]);
    await replaceFile(`bob:${bob}\n`);
    expect([await check(), messages()]).toEqual([false, [warning]]);
    await rm(path);
    expect([await check(), messages()]).toEqual([false, [warning, warning]]);
  });
});

it('HtpasswdSource.close closes the verifier', async () => {
  await (await open(users)).close();
  expect(verifier.closed).toBe(true);
});
