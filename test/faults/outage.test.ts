/**
 * The disk fails for a while: from some call on, every file operation fails, and later none. While it lasts every answer must be
 * right or a clear refusal; afterwards the service must go on without a restart, and nothing that was acknowledged before, during
 * or after may be lost. Then the same with a disk that fails while the server starts.
 */
import { mkdtemp } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { removeScratchFolder } from '../support/scratch.js';
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

describe('an outage of the disk', () => {
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

  test.each(errors)('%s until the disk recovers: the service goes on without a restart', async (error) => {
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
    '%s in a call of a start: the server starts or says why, and the next start works',
    async (error) => {
      await life.restart('stop');
      shim.arm('all');
      await life.restart('kill');
      shim.disarm();
      const calls = withoutRows(shim.calls);
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

/** Without those of which there are hundreds: of the calls of one kind in one part of the data folder, the first six. */
function withoutRows(calls: readonly Call[]): readonly Call[] {
  const seen = new Map<string, number>();
  return calls.filter(({ kind, path }) => {
    const place = `${kind} ${path.split('/').slice(0, 2).join('/')}`;
    const count = (seen.get(place) ?? 0) + 1;
    seen.set(place, count);
    return count <= 6;
  });
}

/** Within ten seconds: the registry may wait between its attempts to open the index again. */
async function waitForService({ client }: Life, origin: string): Promise<void> {
  client.begin(1000);
  for (let attempt = 0; attempt < 100; attempt++) {
    const answer = await client.attempt(`POST upload after the ${origin}`, '/v2/local/sweep/blobs/uploads/', [202], {
      method: 'POST',
    });
    if (answer !== undefined) return;
    await sleep(100);
  }
  throw new Error(`no service 10 s after the ${origin}`);
}
