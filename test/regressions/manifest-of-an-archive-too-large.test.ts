import { expect, it } from 'vitest';
import { useArchiveScene } from '../support/access/archive-scene.js';
import { buildImage, entriesOf, tarOf } from '../support/content/archives.js';

const { send, staged } = useArchiveScene();

it('an import refuses an image with so many layers that its manifest would exceed 4 MiB', async () => {
  const image = buildImage('many layers');
  const [config, layer] = [JSON.parse(image.config.toString()) as { rootfs: { diff_ids: string[] } }, image.layers[0]];
  const count = 30_000;
  config.rootfs.diff_ids = Array.from({ length: count }, () => config.rootfs.diff_ids[0] ?? '');
  const saved = [{ Config: 'config.json', RepoTags: ['a:1'], Layers: Array.from({ length: count }, () => 'l.tar') }];
  const files = {
    'l.tar': layer ?? '',
    'config.json': JSON.stringify(config),
    'manifest.json': JSON.stringify(saved),
  };
  const answer = await send('root', await tarOf(entriesOf(files)));
  expect([answer.status, answer.codes]).toEqual([413, ['SIZE_INVALID']]);
  expect(await staged()).toEqual([]);
});
