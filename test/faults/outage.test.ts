/**
 * The disk fails for a while: every file operation fails from some call on, until the disk recovers. During the outage
 * every answer must be correct or a clear refusal. Afterwards the service must work without a restart, and nothing
 * acknowledged before, during or after the outage may be lost. A second test lets calls fail while the server starts.
 */
import { mkdtemp } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { removeScratchFolder } from '../support/storage/scratch.js';
import { FaultShim, type Call, type FaultError } from './support/fault-shim.js';
import { isLong } from './support/form.js';
import { Ledger, runFlow } from './support/ledger.js';
import { Life } from './support/life.js';
import { OutOfPatience } from './support/patient-client.js';

const config = {
  repositories: [{ name: 'local', type: 'local' }],
  garbageCollection: { graceSeconds: 0, intervalSeconds: 0 },
};
const errors: readonly FaultError[] = ['ENOSPC', 'EIO', 'EMFILE'];
const never = 0xffff_ffff;
const refusalsDuring = 15;

describe('the server in a disk outage', () => {
  const ledger = new Ledger();
  let folder: string;
  let shim: FaultShim;
  let life: Life;
  let flows = 0;

  beforeAll(async () => {
    folder = await mkdtemp('/dev/shm/faults-');
    shim = await FaultShim.build(folder, join(folder, 'data'));
    life = new Life(folder, { config, env: shim.env });
    await life.start();
    await runFlow(life.client, ledger, flows++, 'before the faults');
  });
  afterAll(async () => {
    await life?.end('kill');
    shim?.close();
    await removeScratchFolder(folder);
  });

  const starts = isLong ? Array.from({ length: 90 }, (_, call) => call + 1) : [1, 9, 24, 33, 50, 71];

  test.each(errors)('recovers from %s without a restart', async (error) => {
    for (const first of starts) {
      const since = ledger.length;
      const { client } = life;
      shim.arm('all', [{ first, last: never, error }]);
      client.begin(refusalsDuring);
      const origin = `outage from call ${first} with ${error}`;
      try {
        for (;;) await runFlow(client, ledger, flows++, origin);
      } catch (problem) {
        if (!(problem instanceof OutOfPatience)) throw problem;
      } finally {
        shim.disarm();
      }
      await waitForService(life, origin);
      client.begin(0);
      await runFlow(client, ledger, flows++, `after the ${origin}`);
      await ledger.verify(client, `after the ${origin}`, since);
    }
    await life.restart('kill');
    await ledger.verify(life.client, `after the outages with ${error} and SIGKILL`);
  });

  test.each(errors)(
    'starts or reports a reason when a call of the start fails with %s, and the next start works',
    async (error) => {
      await life.restart('stop');
      shim.arm('all');
      await life.restart('kill');
      shim.disarm();
      const calls = withoutSeries(shim.calls);
      const step = isLong ? 1 : Math.ceil(calls.length / 8);
      let refused = 0;
      for (let at = errors.indexOf(error) % step; at < calls.length; at += step) {
        const first = calls[at]?.number ?? 1;
        await life.end(first % 2 === 0 ? 'kill' : 'stop');
        shim.arm('all', [{ first, error }]);
        let isRefused = false;
        try {
          await life.start();
        } catch (problem) {
          isRefused = true;
          refused++;
          const occasion = `a start with ${error} in call ${first}`;
          expect((problem as Error).message, occasion).toMatch(/ended before it was ready:\nartifactapi: /);
        }
        shim.disarm();
        if (isRefused) await life.restart('kill');
        life.client.begin(0);
        await runFlow(life.client, ledger, flows++, `after a start with ${error} in call ${first}`);
      }
      await life.restart('kill');
      await ledger.verify(life.client, `after starts with ${error}`);
      console.log(`starts: ${calls.length} calls, every ${step}th failed with ${error}, ${refused} starts refused`);
    },
  );
});

/** Returns the calls without long series: at most six calls of one kind per part of the data folder. */
function withoutSeries(calls: readonly Call[]): readonly Call[] {
  const counts = new Map<string, number>();
  return calls.filter(({ kind, path }) => {
    const place = `${kind} ${path.split('/').slice(0, 2).join('/')}`;
    const count = (counts.get(place) ?? 0) + 1;
    counts.set(place, count);
    return count <= 6;
  });
}

/** Waits up to a minute for the service, since the registry pauses between attempts to reopen the index. */
async function waitForService({ client }: Life, origin: string): Promise<void> {
  client.begin(1000);
  for (let attempt = 0; attempt < 600; attempt++) {
    const answer = await client.attempt(`POST upload after the ${origin}`, '/v2/local/sweep/blobs/uploads/', [202], {
      method: 'POST',
    });
    if (answer !== undefined) return;
    await sleep(100);
  }
  throw new Error(`no service a minute after the ${origin}`);
}
