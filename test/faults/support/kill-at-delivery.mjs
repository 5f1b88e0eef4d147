// Opens the registry of the options in $OPTIONS and kills the process at one step of the delivery of webhooks: $KILL_AT is
// the name of the step, $KILL_TIME how often it is reached before. Runs from dist/.
import { createRegistry } from '../../../dist/src/index.js';
import { WebhookSender } from '../../../dist/src/operations/webhooks/webhook-sender.js';
import { LevelMetadataStore } from '../../../dist/src/storage/level/level-metadata-store.js';

const { OPTIONS, KILL_AT, KILL_TIME } = process.env;
let left = Number(KILL_TIME);

function reach(step) {
  if (step === KILL_AT && left-- === 0) process.kill(process.pid, 'SIGKILL');
}

function wrap(prototype, name, around) {
  const original = prototype[name];
  prototype[name] = function (...args) {
    return around(() => original.apply(this, args), args);
  };
}

wrap(WebhookSender.prototype, 'send', async (send) => {
  reach('before the request');
  const sent = await send();
  reach('after the answer');
  return sent;
});
wrap(LevelMetadataStore.prototype, 'apply', async (apply, [changes]) => {
  const movesCursor = changes.some(({ type, kind }) => type === 'document.put' && kind === 'webhook-cursor');
  if (movesCursor) reach('before the cursor');
  await apply();
  if (movesCursor) reach('after the cursor');
});

const registry = createRegistry(JSON.parse(OPTIONS));
await registry.ready();
// The webhooks alone do not keep the process running.
setInterval(() => undefined, 60_000);
