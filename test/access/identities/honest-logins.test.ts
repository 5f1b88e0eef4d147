import { createHash } from 'node:crypto';
import { EventEmitter } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Worker } from 'node:worker_threads';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { HtpasswdSource } from '../../../src/access/identities/htpasswd.js';
import { LoginThrottle } from '../../../src/access/identities/login-throttle.js';
import { PasswordClient } from '../../../src/access/identities/password-client.js';
import { recordingLogger } from '../../support/servers/registry.js';
import { makeScratchFolder, removeScratchFolder } from '../../support/storage/scratch.js';

const office = '192.0.2.1';
const elsewhere = '198.51.100.7';

/** Verifies one password per step of a test, and records them. */
class CountedWorker extends EventEmitter {
  verified: string[] = [];
  #asked: { password: string; hash: string } | undefined;
  readonly ref = (): void => {};
  readonly unref = (): void => {};

  postMessage(request: { password: string; hash: string }): void {
    if (this.#asked !== undefined) throw new Error('asked to verify two passwords at the same time');
    this.#asked = request;
  }

  terminate(): Promise<void> {
    return Promise.resolve();
  }

  /** Verifies one password, if one waits. */
  async step(): Promise<void> {
    // A login passes the file, the throttle and the queue before it arrives here.
    await new Promise(setImmediate);
    const asked = this.#asked;
    if (asked === undefined) return;
    this.#asked = undefined;
    this.verified.push(asked.password);
    this.emit('message', { matches: hashOf(asked.password, asked.hash.slice(4, 6)) === asked.hash });
    await new Promise(setImmediate);
  }
}

function hashOf(password: string, cost = '10'): string {
  return `$2b$${cost}$${createHash('sha256').update(password).digest('hex').slice(0, 53)}`;
}

let folder = '';
let now = 0;
let waitedMs = 0;
let worker = new CountedWorker();
let source: HtpasswdSource;

/** Opens an htpasswd file with the password `right-<name>` for each user. */
async function open(names: readonly string[], cost = '10'): Promise<void> {
  const path = join(folder, 'users.htpasswd');
  await writeFile(path, names.map((name) => `${name}:${hashOf(`right-${name}`, cost)}\n`).join(''));
  const sleep = async (ms: number): Promise<void> => {
    waitedMs += ms;
    now += ms;
  };
  source = await HtpasswdSource.open({
    path,
    verifier: new PasswordClient({ start: () => worker as unknown as Worker }),
    throttle: new LoginThrottle({ now: () => now, sleep }),
    // A clock that stands still keeps the file from being checked for changes.
    runtime: { now: () => 0, log: recordingLogger() },
  });
}

interface Login {
  outcome: 'right' | 'wrong' | number | undefined;
  /** How many passwords had been verified before this login ended. */
  after: number;
}

function login(username: string, password: string, address = office): Login {
  const started: Login = { outcome: undefined, after: 0 };
  const settle = (outcome: Login['outcome']): void => {
    started.outcome = outcome;
    started.after = worker.verified.length;
  };
  source.login(username, password, { address }).then(
    (found) => settle(typeof found === 'string' ? 'wrong' : 'right'),
    (error: { status: number }) => settle(error.status),
  );
  return started;
}

async function finish(...logins: Login[]): Promise<Login['outcome'][]> {
  while (logins.some(({ outcome }) => outcome === undefined)) await worker.step();
  return logins.map(({ outcome }) => outcome);
}

beforeEach(async () => {
  folder = await makeScratchFolder();
  now = 1_000_000_000;
  waitedMs = 0;
  worker = new CountedWorker();
});
afterEach(async () => {
  await source.close();
  await removeScratchFolder(folder);
});

describe('an honest user', () => {
  it("is not delayed by a CI job's stale password for the same user behind the same address", async () => {
    await open(['deploy']);
    for (let i = 0; i < 1000; i++) {
      expect(await finish(login('deploy', 'stale'))).toEqual(['wrong']);
      now += 100;
    }
    expect(await finish(login('deploy', 'right-deploy'))).toEqual(['right']);
    expect(waitedMs).toBe(0);
    expect(worker.verified).toEqual(['stale', 'right-deploy']);
  });

  it('is not delayed by six wrong passwords of their own', async () => {
    await open(['alice']);
    for (let i = 0; i < 6; i++) expect(await finish(login('alice', `old ${i}`))).toEqual(['wrong']);
    expect(await finish(login('alice', 'right-alice'))).toEqual(['right']);
    expect(waitedMs).toBe(0);
  });

  it('waits 2 seconds, but is not refused, after hundreds of wrong passwords for their name at their address', async () => {
    await open(['alice', 'bob']);
    for (let i = 0; i < 190; i++) await finish(login('alice', `test ${i}`));
    waitedMs = 0;
    expect(await finish(login('bob', 'right-bob'))).toEqual(['right']);
    expect(waitedMs).toBe(0);
    expect(await finish(login('alice', 'right-alice'))).toEqual(['right']);
    expect(waitedMs).toBe(2000);
    expect(await finish(login('alice', 'right-alice', elsewhere))).toEqual(['right']);
    expect(waitedMs).toBe(2000);
  });

  it.each(['the same user', 'many users'])(
    'logs in elsewhere almost at once while 80 wrong logins of %s wait at one address',
    async (who) => {
      await open(['alice', 'bob']);
      const wrong = Array.from({ length: 80 }, (_, i) => login(who === 'many users' ? `u${i}` : 'alice', `x${i}`));
      await worker.step();
      const others = [login('bob', 'right-bob', elsewhere), login('alice', 'right-alice', '203.0.113.9')];
      await finish(...others);
      expect(others.map(({ outcome }) => outcome)).toEqual(['right', 'right']);
      // One was being verified already, and then the addresses take turns.
      expect(Math.max(...others.map(({ after }) => after))).toBeLessThanOrEqual(5);
      await finish(...wrong);
      const outcomes = new Set(wrong.map(({ outcome }) => outcome));
      expect(outcomes).toEqual(new Set(['wrong', 429]));
      expect(worker.verified.length).toBeLessThanOrEqual(40);
    },
  );

  it('takes turns with the other users of an address under attack', async () => {
    await open(['alice', 'bob']);
    for (let i = 0; i < 80; i++) login('alice', `x${i}`);
    await worker.step();
    const bob = login('bob', 'right-bob');
    await finish(bob);
    expect([bob.outcome, bob.after <= 4]).toEqual(['right', true]);
  });

  it('logs in while hundreds of addresses fill the queue', async () => {
    await open(['bob']);
    const wrong = Array.from({ length: 20 }, (_, i) =>
      Array.from({ length: 20 }, (_each, j) => login(`u${j}`, `x${i} ${j}`, `203.0.113.${i}`)),
    ).flat();
    await worker.step();
    const bob = login('bob', 'right-bob', elsewhere);
    await finish(bob);
    expect([bob.outcome, bob.after <= 25]).toEqual(['right', true]);
    await finish(...wrong);
    expect(wrong.filter(({ outcome }) => outcome === 429).length).toBeGreaterThan(100);
  });

  it('logs in with a hash of the highest cost, and refuses further ones that wait at the same address', async () => {
    await open(['alice'], '15');
    const logins = [login('alice', 'right-alice'), login('alice', 'a'), login('alice', 'b'), login('alice', 'c')];
    expect(await finish(...logins)).toEqual(['right', 'wrong', 429, 429]);
  });
});

describe('an attacker who guesses passwords', () => {
  it('gains nothing from 40 parallel guesses: 16 are refused', async () => {
    await open(['root']);
    const guesses = Array.from({ length: 40 }, (_, i) => login('root', `guess ${i}`));
    await finish(...guesses);
    expect(guesses.filter(({ outcome }) => outcome === 'wrong')).toHaveLength(24);
    expect(guesses.filter(({ outcome }) => outcome === 429)).toHaveLength(16);
  });

  it('gets at most 2 guesses a second for one user from one address', async () => {
    await open(['root']);
    for (let i = 0; i < 100; i++) await finish(login('root', `guess ${i}`));
    expect(waitedMs).toBeGreaterThan(75 * 2000);
  });

  it('cannot tell an unknown name from a known one by the work', async () => {
    await open(['root']);
    const verified = async (name: string): Promise<readonly number[]> => {
      const counts: number[] = [];
      for (let i = 0; i < 30; i++) {
        await finish(login(name, `guess ${i % 25}`));
        counts.push(worker.verified.length, waitedMs);
      }
      worker.verified = [];
      waitedMs = 0;
      return counts;
    };
    expect(await verified('root')).toEqual(await verified('nobody'));
  });
});
