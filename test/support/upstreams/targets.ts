import type { TargetPolicy } from '../../../src/ports/upstream.js';
import { createTargetPolicy } from '../../../src/util/outgoing/target-policy.js';

/** Allows connections to any target. */
export const anyTarget: TargetPolicy = createTargetPolicy({
  configured: new URL('http://configured.example'),
  allow: true,
  log: { warn: () => {} },
});
