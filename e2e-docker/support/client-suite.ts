import { describe, expect, test } from 'vitest';
import { findTool } from './commands.js';

/** The name of a program, or `root` if the suite must run as root. */
export type Requirement = string;

/**
 * Declares a suite for a real client. If the client is missing, the suite is skipped, and its name has the reason. In CI
 * (`CI=true`) it fails instead, because a run that tested nothing must not pass.
 */
export function describeClient(client: string, needs: readonly Requirement[], body: () => void): void {
  const missing = needs.filter((need) => !isMet(need));
  if (missing.length === 0) return void describe(client, body);
  const reason = `${client} (missing here: ${missing.join(', ')}; see e2e-docker/install-clients.sh)`;
  if (process.env['CI'] !== 'true') return void describe.skipIf(true)(reason, body);
  describe(client, () => {
    test('finds its programs installed', () => expect.fail(reason));
  });
}

function isMet(need: Requirement): boolean {
  if (need === 'root') return process.platform === 'linux' && process.getuid?.() === 0;
  return findTool(need) !== undefined;
}
