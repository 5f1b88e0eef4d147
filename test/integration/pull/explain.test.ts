import { afterEach, beforeEach, expect, it } from 'vitest';
import { imageManifest, pushManifest } from '../../support/content/content.js';
import { Cleanups, MovableClock, startRemote } from '../../support/upstreams/remote.js';

const cleanups = new Cleanups();
let clock: MovableClock;
beforeEach(() => {
  clock = new MovableClock();
});
afterEach(async () => {
  await cleanups.run();
  clock.restore();
});

it('explain reports which repository would answer, from where, how fresh and why, without an upstream request', async () => {
  const { fault, client } = await startRemote(
    cleanups,
    { tagTtlSeconds: 60 },
    {
      others: (url) => [
        { name: 'through', type: 'remote', url, cache: false },
        { name: 'all', type: 'virtual', members: ['hub', 'local'], reserved: ['secret/**'] },
      ],
      defaultRepository: 'all',
      hosts: { 'hub.example': 'hub' },
      namespaces: { 'docker.io': 'hub' },
    },
  );
  const { manifest } = fault.images.addImage('team/app', 'v1');
  const explain = async (query: string) => {
    const before = fault.requests.length;
    const answer = await client.get(`/api/v1/explain?${query}`);
    expect(fault.requests.length).toBe(before);
    expect(answer.status).toBe(200);
    return answer.json() as Record<string, unknown> & { readonly members?: readonly Record<string, unknown>[] };
  };
  expect(await explain('name=hub/team/app&reference=v1')).toMatchObject({
    repository: 'hub',
    type: 'remote',
    image: 'team/app',
    answer: 'upstream',
    upstream: new URL(fault.url).host,
    reason: expect.stringContaining('not cached') as string,
  });
  await client.get('/v2/hub/team/app/manifests/v1');
  const time = expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/) as string;
  const fresh = { answer: 'cached', digest: manifest.digest, checked_at: time, fresh_until: time };
  expect(await explain('name=hub/team/app&reference=v1')).toMatchObject(fresh);
  expect(await explain('name=team/app&reference=v1&ns=docker.io')).toMatchObject({ repository: 'hub', ...fresh });
  expect(await explain('name=team/app&reference=v1&host=hub.example')).toMatchObject({ repository: 'hub', ...fresh });
  expect(await explain(`name=hub/team/app&reference=${manifest.digest}`)).toMatchObject({ answer: 'cached' });
  clock.advance(61);
  expect(await explain('name=hub/team/app&reference=v1')).toMatchObject({ answer: 'revalidate' });
  expect(await explain('name=through/team/app&reference=v1')).toMatchObject({ answer: 'upstream' });
  expect(await explain('name=local/team/app')).toMatchObject({
    repository: 'local',
    answer: 'absent',
    reason: 'not stored here', // also true of a deleted tag, which was pushed once
  });

  const virtual = await explain('name=team/app&reference=v1');
  expect(virtual).toMatchObject({ repository: 'all', type: 'virtual', answer: 'revalidate' });
  expect(virtual.members?.map(({ repository, answer }) => [repository, answer])).toEqual([
    ['local', 'absent'],
    ['hub', 'revalidate'],
  ]);
  await pushManifest(client, 'local/team/app', 'v1', imageManifest('ours'));
  expect(await explain('name=all/team/app&reference=v1')).toMatchObject({ answer: 'stored' });
  const reserved = await explain('name=all/secret/app&reference=v1');
  expect(reserved['answer']).toBe('absent');
  expect(reserved.members?.map(({ answer }) => answer)).toEqual(['absent', 'left out']);
  expect((await client.get('/api/v1/explain?name=UPPER')).codes).toEqual(['NAME_INVALID']);
});
