import { afterEach, expect, it, vi } from 'vitest';
import { IssuerKeys } from '../../src/access/tokens/issuer-keys.js';
import { BackgroundRetention } from '../../src/composition/operations/background-retention.js';
import { createRuntime } from '../../src/composition/runtime.js';
import type { Job, Jobs } from '../../src/ports/operations/jobs.js';
import type { RetentionSettings } from '../../src/protocol/settings/retention-config.js';
import { Leases } from '../../src/util/scheduling/leases.js';
import { recordingLogger } from '../support/servers/registry.js';
import { startKeyServer, type KeyServer } from '../support/upstreams/key-server.js';

const day = 86_400_000;
const right = Date.UTC(2026, 6, 25);

let issuer: KeyServer | undefined;
afterEach(() => issuer?.close());

it('keys of an issuer that failed before the clock was set back are fetched again', async () => {
  issuer = await startKeyServer();
  issuer.instead.set('/jwks', { status: 500 });
  let now = right + day;
  const runtime = { ...createRuntime(recordingLogger()), now: () => now };
  const keys = new IssuerKeys({ issuer: issuer.url, runtime });
  await expect(keys.find({ alg: 'ES256' })).rejects.toThrow('its keys could not be fetched');

  issuer.instead.clear();
  now = right;
  expect(await keys.find({ alg: 'ES256' })).toEqual([]);
});

it('retention runs although its last run seems to be in the future', async () => {
  // Only the fields that decide whether a run is due.
  const ahead = { state: 'done', dryRun: false, startedAt: right + 365 * day } as unknown as Job;
  const start = vi.fn<Jobs['start']>(() => Promise.resolve(ahead));
  const jobs = { list: () => Promise.resolve([ahead]), start } as unknown as Jobs;
  const settings = { everySeconds: 86_400, policies: [] } as unknown as RetentionSettings;
  const runtime = { ...createRuntime(recordingLogger()), now: () => right };
  await new BackgroundRetention(jobs, () => settings, runtime, new Leases(undefined)).check();
  expect(start).toHaveBeenCalledTimes(1);
});
