import { mkdtemp } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { removeScratchFolder } from '../../support/storage/scratch.js';
import { FaultShim, type Call, type Fault, type Scope } from './fault-shim.js';
import { Ledger, runFlow } from './ledger.js';
import { Life, waitForReserve } from './life.js';

const config = {
  repositories: [{ name: 'local', type: 'local' }],
  garbageCollection: { graceSeconds: 0, intervalSeconds: 0 },
  reserveBytes: 1024 * 1024,
};
const pointsBetweenRestarts = 40;

/** Faults of one run of the flow. */
export interface Point {
  readonly faults: readonly Fault[];
  /** The call in the recording run. The same number may be another call in another run. */
  readonly expected: string;
}

/**
 * Records the file operations of a flow in a real server and chooses points among them. At each point it runs the flow
 * with the fault (every answer must be correct or a clear refusal, and an immediate retry must succeed), runs it
 * without a fault, and reads everything back. Every `pointsBetweenRestarts` points the server is ended, by SIGTERM and
 * SIGKILL in turn, and everything since the start is read back from a new process.
 */
export function describeSweep(title: string, scope: Scope, choose: (calls: readonly Call[]) => readonly Point[]): void {
  describe(title, () => {
    const ledger = new Ledger();
    let folder: string;
    let shim: FaultShim;
    let life: Life;
    let flows = 0;
    let restarts = 0;

    beforeAll(async () => {
      // In memory, where a flush takes no time; the shim can fail it nevertheless.
      folder = await mkdtemp('/dev/shm/faults-');
      shim = await FaultShim.build(folder, join(folder, 'data'));
      life = new Life(folder, { config, env: shim.env });
      await life.start();
      await waitForReserve(join(folder, 'data'));
    });

    afterAll(async () => {
      await life?.end('kill');
      shim?.close();
      await removeScratchFolder(folder);
    });

    async function record(): Promise<readonly Call[]> {
      await runFlow(life.client, ledger, flows++, 'before the faults');
      shim.arm(scope);
      await runFlow(life.client, ledger, flows++, 'recording');
      shim.disarm();
      return shim.calls;
    }

    /** Runs a point; returns what went wrong, or undefined. */
    async function runPoint(point: Point): Promise<string | undefined> {
      const since = ledger.length;
      const { client } = life;
      if (point.faults.length === 1) client.begin(1);
      // The registry pauses after a failed attempt to reopen the index.
      else client.begin(50, 100);
      shim.arm(scope, point.faults);
      try {
        await runFlow(client, ledger, flows++, `with ${describePoint(point)}`);
        shim.disarm();
        client.begin(0);
        await runFlow(client, ledger, flows++, `after ${describePoint(point)}`);
        await ledger.verify(client, 'right after the fault', since);
        return undefined;
      } catch (error) {
        const met = shim.calls.filter(({ number }) =>
          point.faults.some(({ first, last = first }) => first <= number && number <= last),
        );
        const calls = met.map(({ number, kind, path }) => `${number} ${kind} ${path}`).join(', ');
        return `${describePoint(point)} (met: ${calls}): ${(error as Error).message}`;
      } finally {
        shim.disarm();
      }
    }

    async function restart(): Promise<string | undefined> {
      const how = restarts++ % 2 === 0 ? 'stop' : 'kill';
      try {
        const client = await life.restart(how);
        await ledger.verify(client, `after ${how === 'stop' ? 'SIGTERM' : 'SIGKILL'} and a start`);
        return undefined;
      } catch (error) {
        return (error as Error).message;
      }
    }

    test('answers correctly, keeps working and loses nothing acknowledged', async () => {
      const calls = await record();
      const points = choose(calls);
      console.log(`${title}: ${calls.length} calls, ${points.length} points: ${countByPlace(calls)}`);
      const problems: string[] = [];
      const note = (problem: string | undefined): boolean => {
        if (problem === undefined) return false;
        problems.push(problem);
        console.log(`${title}: ${problem}`);
        return true;
      };
      let met = 0;
      for (const [position, point] of points.entries()) {
        const isWrong = note(await runPoint(point));
        met += shim.hits > 0 ? 1 : 0;
        // A broken server would fail at every later point too.
        if (isWrong || (position + 1) % pointsBetweenRestarts === 0 || position === points.length - 1) {
          note(await restart());
        }
      }
      console.log(`${title}: ${met} of ${points.length} points met a call, ${problems.length} problems`);
      if (problems.length > 0) throw new Error(`${problems.length} problems:\n${problems.join('\n')}`);
      // The number of calls varies slightly between runs.
      expect(met).toBeGreaterThan(points.length * 0.9);
    });
  });
}

/** Returns points that fail each call once with each error, and writes also halfway. */
export function everyFault(calls: readonly Call[]): Point[] {
  return calls.flatMap(({ number, kind, path }) => {
    const faults: Fault[] = [
      { first: number, error: 'ENOSPC' },
      { first: number, error: 'EIO' },
      { first: number, error: 'EMFILE' },
    ];
    if (kind === 'write') faults.push({ first: number, error: 'ENOSPC', half: true });
    return faults.map((fault) => ({ faults: [fault], expected: `${kind} ${path}` }));
  });
}

/**
 * Returns points that fail a call and another one `distance` calls later, so that the recovery from the first failure
 * fails too.
 */
export function pairsOf(calls: readonly Call[], distances: readonly number[]): Point[] {
  return calls.flatMap(({ number, kind, path }) =>
    distances.map((distance) => ({
      faults: [
        { first: number, error: 'EIO' as const },
        { first: number + distance, error: 'ENOSPC' as const },
      ],
      expected: `${kind} ${path}, then ${distance} later`,
    })),
  );
}

function describePoint({ faults, expected }: Point): string {
  const each = faults.map(({ first, last = first, error, half }) => {
    const which = last === first ? `call ${first}` : `calls ${first} to ${last}`;
    return `${which} ${error}${half === true ? ' after half of the write' : ''}`;
  });
  return `${each.join(' and ')} [${expected}]`;
}

function countByPlace(calls: readonly Call[]): string {
  const counts = new Map<string, number>();
  for (const { kind, path } of calls) {
    const place = `${kind} ${path.split('/')[0] ?? ''}`;
    counts.set(place, (counts.get(place) ?? 0) + 1);
  }
  return [...counts].map(([place, count]) => `${place} ${count}`).join(', ');
}
