import { expect, it } from 'vitest';
import { useArchiveScene } from '../support/access/archive-scene.js';

const { send, staged } = useArchiveScene();

// Not a tar archive: a 400 shows that it was read.
const garbage = Buffer.alloc(100_000, 'x');

it.each<['reader' | 'pusher', string, number]>([
  ['reader', '', 403],
  ['reader', '?image=team/x', 403],
  ['pusher', '?image=team/x', 403],
  ['pusher', '?image=mine/x', 400],
  ['pusher', '', 400],
])('an import by %s with the query "%s" answers %i and leaves no staged file', async (user, query, status) => {
  expect((await send(user, garbage, query)).status).toBe(status);
  expect(await staged()).toEqual([]);
});
