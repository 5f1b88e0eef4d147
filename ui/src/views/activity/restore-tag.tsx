import type { VNode } from 'preact';
import type { EventDocument } from '../../../../src/protocol/documents/activity.js';
import { imagePath, send } from '../../api.ts';
import { DialogForm } from '../../parts/dialog.tsx';
import { Facts } from '../../parts/page.tsx';
import { announce } from '../../parts/status.tsx';
import { Digest, When } from '../../parts/texts.tsx';

/** Points a tag to the manifest that it named before an event, unless the tag has changed since. */
export function RestoreTag({
  event,
  onClose,
  onDone,
}: {
  readonly event: EventDocument;
  readonly onClose: () => void;
  readonly onDone: () => void;
}): VNode {
  const { repository = '', image = '', tag = '', digest, was = '' } = event;
  const restore = async (): Promise<void> => {
    const body = { tag, reference: was, expected: digest ?? null };
    await send('POST', `${imagePath(repository, image)}/tag`, body);
    announce(`Restored ${tag}`);
    onClose();
    onDone();
  };
  return (
    <DialogForm
      title={`Restore ${tag}?`}
      submit="Restore"
      what="The tag could not be restored"
      onSubmit={restore}
      onClose={onClose}
    >
      <p>
        The tag will name the manifest that it named before this change. If it has changed again since, nothing happens.
      </p>
      <Facts
        facts={[
          ['Image', `${repository}/${image}`],
          ['Changed', <When key="at" at={event.at} />],
          ['Names now', digest === undefined ? 'nothing: the tag was deleted' : <Digest key="now" value={digest} />],
          ['Will name', <Digest key="was" value={was} />],
        ]}
      />
    </DialogForm>
  );
}
