/** As much of a socket as the gate and what is behind it touch. */
import { EventEmitter } from 'node:events';

export class DoorSocket extends EventEmitter {
  isDestroyed = false;

  get destroyed(): boolean {
    return this.isDestroyed;
  }

  destroy(): void {
    if (this.isDestroyed) return;
    this.isDestroyed = true;
    this.emit('close');
  }
}
