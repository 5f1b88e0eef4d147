import type { TargetPolicy } from '../../src/ports/upstream.js';
import { createTargetPolicy } from '../../src/util/target-policy.js';

/** Lets connections lead anywhere. */
export const anyTarget: TargetPolicy = createTargetPolicy({
  configured: new URL('http://configured.example'),
  allow: true,
  log: { warn: () => {} },
});
