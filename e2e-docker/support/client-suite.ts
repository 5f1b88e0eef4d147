import { describe, expect, test } from 'vitest';
import { findTool } from './commands.js';

/** A program's name, or `root` for what only root may do. */
export type Requirement = string;

/**
 * A suite for a real client. Where the client is missing, the suite is skipped and its name says why; in CI
 * (`CI=true`) that is a failure instead, since a run that tested nothing must not look green.
 */
export function describeClient(client: string, needs: readonly Requirement[], body: () => void): void {
  const missing = needs.filter((need) => !isMet(need));
  if (missing.length === 0) return void describe(client, body);
  const reason = `${client} (missing here: ${missing.join(', ')}; see e2e-docker/install-clients.sh)`;
  if (process.env['CI'] !== 'true') return void describe.skipIf(true)(reason, body);
  describe(client, () => {
    test('what the suite needs is installed', () => expect.fail(reason));
  });
}

function isMet(need: Requirement): boolean {
  if (need === 'root') return process.platform === 'linux' && process.getuid?.() === 0;
  return findTool(need) !== undefined;
}
