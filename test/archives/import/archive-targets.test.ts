import { describe, expect, it } from 'vitest';
import type { PlannedImage } from '../../../src/archives/import/archive-plan.js';
import { chooseTargets } from '../../../src/archives/import/archive-targets.js';

describe('chooseTargets', () => {
  it.each([
    ['Team/App:1', 'NAME_INVALID'],
    ['../app:1', 'NAME_INVALID'],
    ['a//b:1', 'NAME_INVALID'],
    ['registry.example/:1', 'NAME_INVALID'],
    [`${'a'.repeat(255)}:1`, 'NAME_INVALID'],
    ['app:a b', 'TAG_INVALID'],
    ['app:', 'TAG_INVALID'],
  ])('rejects the name %j, which the request does not replace', (name, code) => {
    const image = { names: [name], top: { manifest: { digest: 'sha256:0' } }, parts: [] } as unknown as PlannedImage;
    expect(() => chooseTargets([image], { repository: 'local', tags: [] })).toThrow(expect.objectContaining({ code }));
  });
});
