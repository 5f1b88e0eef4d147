import { describe, expect, it } from 'vitest';
import { Sessions } from '../../src/access/sessions.js';
import type { Runtime } from '../../src/ports/runtime.js';
import { memoryDocuments } from '../support/storage/documents.js';

const address = '192.0.2.7';

/** Logs users in, one second after the other unless told otherwise, and lists whose sessions are left. */
function setUp() {
  let now = 1_000_000;
  const runtime: Pick<Runtime, 'now'> = { now: () => (now += 1000) };
  const metadata = memoryDocuments();
  const sessions = new Sessions({
    metadata,
    runtime: runtime as Runtime,
    revive: (_kind, id) => Promise.resolve({ id, groups: [] }),
  });
  const logIn = (id: string): Promise<string> =>
    sessions.start({ id, groups: [], via: 'basic', source: 'htpasswd', stamp: 's' }, { address });
  const left = async (values: readonly string[]): Promise<number[]> => {
    const found = await Promise.all(values.map(async (value) => (await sessions.identify(value)) !== undefined));
    return found.flatMap((isLeft, index) => (isLeft ? [index] : []));
  };
  return { metadata, logIn, left };
}

/** Logs in with one user after the other: `[['ana', 3], ['ben', 2]]` with ana three times, then with ben twice. */
async function logInAll(
  logIn: (id: string) => Promise<string>,
  counts: readonly (readonly [user: string, times: number])[],
): Promise<Map<string, string[]>> {
  const values = new Map<string, string[]>();
  for (const [user, times] of counts) {
    const own = values.get(user) ?? [];
    for (let time = 0; time < times; time++) own.push(await logIn(user));
    values.set(user, own);
  }
  return values;
}

const range = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, index) => from + index);
const crowd = (users: number): [string, number][] => range(0, users).map((index) => [`user${index}`, 20]);

describe('logins', () => {
  it.each<[what: string, logins: [user: string, times: number][], ana: number[], ben: number[]]>([
    ['keep twenty sessions of a user', [['ana', 20]], range(0, 20), []],
    ['end the oldest session of the same user', [['ana', 21]], range(1, 21), []],
    [
      'never end those of another user',
      [
        ['ana', 2],
        ['ben', 1005],
      ],
      [0, 1],
      range(985, 1005),
    ],
    [
      'end only those of the user who returns',
      [
        ['ana', 20],
        ['ben', 20],
        ['ana', 5],
      ],
      range(5, 25),
      range(0, 20),
    ],
    [
      'end the oldest session of the same user when a thousand sessions exist',
      [['ana', 2], ['ben', 18], ...crowd(49), ['ben', 1]],
      [0, 1],
      range(1, 19),
    ],
    [
      'end the oldest of all sessions when a thousand exist and the user has none',
      [['ana', 20], ...crowd(49), ['ben', 1]],
      range(1, 20),
      [0],
    ],
  ])('%s', async (_what, logins, ana, ben) => {
    const { logIn, left } = setUp();
    const values = await logInAll(logIn, logins);
    expect(await left(values.get('ana') ?? [])).toEqual(ana);
    expect(await left(values.get('ben') ?? [])).toEqual(ben);
  });

  it('keep to the limit when they are concurrent', async () => {
    const { metadata, logIn, left } = setUp();
    const ana = await logIn('ana');
    await Promise.all(range(0, 1100).map(() => logIn('ben')));
    expect(await metadata.documents('session')).toHaveLength(21);
    expect(await left([ana])).toEqual([0]);
  });
});
