BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0002');
CREATE TABLE atlas (
	id INTEGER NOT NULL, 
	grid_id INTEGER NOT NULL, 
	load_number INTEGER NOT NULL, 
	status VARCHAR NOT NULL, 
	image_id INTEGER, 
	vacuum_counts DOUBLE, 
	reason VARCHAR NOT NULL, 
	CONSTRAINT pk_atlas PRIMARY KEY (id), 
	CONSTRAINT fk_atlas_grid_id FOREIGN KEY(grid_id) REFERENCES grid (id), 
	CONSTRAINT fk_atlas_image_id FOREIGN KEY(image_id) REFERENCES image (id)
);
INSERT INTO "atlas" VALUES(1,1,1,'done',1,200.0,'');
INSERT INTO "atlas" VALUES(2,2,1,'done',2,200.0,'');
INSERT INTO "atlas" VALUES(3,5,1,'done',3,200.0,'');
INSERT INTO "atlas" VALUES(4,6,1,'done',4,200.0,'');
CREATE TABLE bis_group (
	id INTEGER NOT NULL, 
	square_id INTEGER NOT NULL, 
	number INTEGER NOT NULL, 
	stage_x_um DOUBLE NOT NULL, 
	stage_y_um DOUBLE NOT NULL, 
	visit_order INTEGER NOT NULL, 
	status VARCHAR NOT NULL, 
	reason VARCHAR NOT NULL, 
	target_defocus_um DOUBLE, 
	correction_x_um DOUBLE NOT NULL, 
	correction_y_um DOUBLE NOT NULL, 
	image_id INTEGER, 
	focus_um DOUBLE, 
	drift_a_per_s DOUBLE, 
	CONSTRAINT pk_bis_group PRIMARY KEY (id), 
	CONSTRAINT ck_bis_group_status_known CHECK (status IN ('chosen', 'centred', 'done', 'skipped', 'failed')), 
	CONSTRAINT fk_bis_group_image_id FOREIGN KEY(image_id) REFERENCES image (id), 
	CONSTRAINT fk_bis_group_square_id FOREIGN KEY(square_id) REFERENCES square (id), 
	CONSTRAINT uq_bis_group_square_id_number UNIQUE (square_id, number)
);
INSERT INTO "bis_group" VALUES(1,1,1,1.0,1.0,1,'done','',NULL,0.0,0.0,NULL,NULL,NULL);
INSERT INTO "bis_group" VALUES(2,2,1,1.0,1.0,1,'done','',NULL,0.0,0.0,NULL,NULL,NULL);
INSERT INTO "bis_group" VALUES(3,3,1,1.0,1.0,1,'done','',NULL,0.0,0.0,NULL,NULL,NULL);
INSERT INTO "bis_group" VALUES(4,4,1,1.0,1.0,1,'done','',NULL,0.0,0.0,NULL,NULL,NULL);
INSERT INTO "bis_group" VALUES(5,5,1,1.0,1.0,1,'done','',NULL,0.0,0.0,NULL,NULL,NULL);
INSERT INTO "bis_group" VALUES(6,6,1,1.0,1.0,1,'done','',NULL,0.0,0.0,NULL,NULL,NULL);
INSERT INTO "bis_group" VALUES(7,7,1,1.0,1.0,1,'done','',NULL,0.0,0.0,NULL,NULL,NULL);
INSERT INTO "bis_group" VALUES(8,8,1,1.0,1.0,1,'done','',NULL,0.0,0.0,NULL,NULL,NULL);
INSERT INTO "bis_group" VALUES(9,9,1,1.0,1.0,1,'done','',NULL,0.0,0.0,NULL,NULL,NULL);
INSERT INTO "bis_group" VALUES(10,10,1,1.0,1.0,1,'done','',NULL,0.0,0.0,NULL,NULL,NULL);
INSERT INTO "bis_group" VALUES(11,11,1,1.0,1.0,1,'done','',NULL,0.0,0.0,NULL,NULL,NULL);
INSERT INTO "bis_group" VALUES(12,12,1,1.0,1.0,1,'done','',NULL,0.0,0.0,NULL,NULL,NULL);
CREATE TABLE command (
	id INTEGER NOT NULL, 
	session_id INTEGER NOT NULL, 
	verb VARCHAR NOT NULL, 
	args JSON NOT NULL, 
	asked_by VARCHAR NOT NULL, 
	asked_at DATETIME NOT NULL, 
	idempotency_key VARCHAR NOT NULL, 
	status VARCHAR NOT NULL, 
	answer VARCHAR NOT NULL, 
	answered_at DATETIME, 
	CONSTRAINT pk_command PRIMARY KEY (id), 
	CONSTRAINT ck_command_status_known CHECK (status IN ('asked', 'obeyed', 'refused')), 
	CONSTRAINT fk_command_session_id FOREIGN KEY(session_id) REFERENCES session (id), 
	CONSTRAINT uq_command_session_id_idempotency_key UNIQUE (session_id, idempotency_key)
);
INSERT INTO "command" VALUES(1,1,'pause','{}','ann','2025-03-01 18:03:00.000000','k','asked','',NULL);
CREATE TABLE decision (
	id INTEGER NOT NULL, 
	session_id INTEGER NOT NULL, 
	event_id INTEGER, 
	question VARCHAR NOT NULL, 
	of_kind VARCHAR NOT NULL, 
	of_id INTEGER NOT NULL, 
	pass_number INTEGER NOT NULL, 
	policy VARCHAR NOT NULL, 
	policy_version VARCHAR NOT NULL, 
	options JSON NOT NULL, 
	seed BIGINT NOT NULL, 
	seen_upto INTEGER NOT NULL, 
	offered JSON NOT NULL, 
	chosen JSON NOT NULL, 
	scores JSON NOT NULL, 
	reasons JSON NOT NULL, 
	summary VARCHAR NOT NULL, 
	at DATETIME NOT NULL, 
	CONSTRAINT pk_decision PRIMARY KEY (id), 
	CONSTRAINT fk_decision_event_id FOREIGN KEY(event_id) REFERENCES event (id), 
	CONSTRAINT fk_decision_session_id FOREIGN KEY(session_id) REFERENCES session (id)
);
INSERT INTO "decision" VALUES(1,1,1,'squares','session',1,0,'first-come','1','{}',5,1,'[1, 2]','[2]','{"1": 0.1, "2": 0.9}','{"1": "small", "2": "large"}','','2025-03-01 18:05:00.000000');
INSERT INTO "decision" VALUES(2,1,1,'squares','grid',1,0,'first-come','1','{}',5,1,'[1, 2]','[2]','{"1": 0.1, "2": 0.9}','{"1": "small", "2": "large"}','','2025-03-01 18:05:00.000000');
INSERT INTO "decision" VALUES(3,1,1,'squares','square',12,0,'first-come','1','{}',5,1,'[1, 2]','[2]','{"1": 0.1, "2": 0.9}','{"1": "small", "2": "large"}','','2025-03-01 18:05:00.000000');
CREATE TABLE event (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	session_id INTEGER NOT NULL, 
	at DATETIME NOT NULL, 
	kind VARCHAR NOT NULL, 
	version INTEGER NOT NULL, 
	step_key VARCHAR, 
	grid_id INTEGER, 
	text VARCHAR NOT NULL, 
	body JSON NOT NULL, 
	CONSTRAINT fk_event_session_id FOREIGN KEY(session_id) REFERENCES session (id)
);
INSERT INTO "event" VALUES(1,1,'2025-03-01 18:01:00.000000','night_began',1,NULL,NULL,'night began','{"changes": [{"table": "session", "id": 1, "set": {"code_version": "0.1.0", "doing": "night_began"}}]}');
INSERT INTO "event" VALUES(2,1,'2025-03-01 19:00:00.000000','grid_left',1,NULL,1,'grid left','{"changes": [{"table": "session", "id": 1, "set": {"code_version": "0.1.0", "doing": "grid_left"}}]}');
INSERT INTO "event" VALUES(3,1,'2025-03-01 20:50:00.000000','hole_exposed',1,NULL,6,'hole exposed','{"changes": [{"table": "session", "id": 1, "set": {"code_version": "0.1.0", "doing": "hole_exposed"}}]}');
CREATE TABLE "exposure" (
	id INTEGER NOT NULL, 
	hole_id INTEGER NOT NULL, 
	group_id INTEGER, 
	number INTEGER NOT NULL, 
	status VARCHAR NOT NULL, 
	reason VARCHAR NOT NULL, 
	image_id INTEGER, 
	shift_x_um DOUBLE NOT NULL, 
	shift_y_um DOUBLE NOT NULL, 
	offset_x_um DOUBLE NOT NULL, 
	offset_y_um DOUBLE NOT NULL, 
	target_defocus_um DOUBLE NOT NULL, 
	dose_e_per_a2 DOUBLE, 
	taken_at DATETIME, 
	analysis VARCHAR NOT NULL, 
	analysis_due_at DATETIME, 
	flags JSON NOT NULL, 
	usable BOOLEAN, 
	shot INTEGER DEFAULT '0' NOT NULL, 
	CONSTRAINT pk_exposure PRIMARY KEY (id), 
	CONSTRAINT ck_exposure_analysis_known CHECK (analysis IN ('none', 'waiting', 'done', 'failed')), 
	CONSTRAINT ck_exposure_status_known CHECK (status IN ('intended', 'done', 'lost', 'failed')), 
	CONSTRAINT ck_exposure_analysis_known CHECK (analysis IN ('none', 'waiting', 'done', 'failed')), 
	CONSTRAINT fk_exposure_image_id FOREIGN KEY(image_id) REFERENCES image (id), 
	CONSTRAINT fk_exposure_group_id FOREIGN KEY(group_id) REFERENCES bis_group (id), 
	CONSTRAINT fk_exposure_hole_id FOREIGN KEY(hole_id) REFERENCES hole (id), 
	CONSTRAINT ck_exposure_status_known CHECK (status IN ('intended', 'done', 'lost', 'failed')), 
	CONSTRAINT uq_exposure_hole_id_shot UNIQUE (hole_id, shot)
);
INSERT INTO "exposure" VALUES(1,1,1,1,'done','',7,0.0,0.0,0.0,0.0,-1.5,40.0,'2025-03-01 18:11:00.000000','done',NULL,'[]',1,0);
INSERT INTO "exposure" VALUES(2,2,1,2,'done','',9,0.0,0.0,0.0,0.0,-1.5,40.0,'2025-03-01 18:12:00.000000','done',NULL,'[]',1,0);
INSERT INTO "exposure" VALUES(3,3,1,3,'done','',11,0.0,0.0,0.0,0.0,-1.5,40.0,'2025-03-01 18:13:00.000000','done',NULL,'[]',1,0);
INSERT INTO "exposure" VALUES(4,4,1,4,'done','',13,0.0,0.0,0.0,0.0,-1.5,40.0,'2025-03-01 18:14:00.000000','done',NULL,'[]',1,0);
INSERT INTO "exposure" VALUES(5,5,1,5,'done','',15,0.0,0.0,0.0,0.0,-1.5,40.0,'2025-03-01 18:15:00.000000','done',NULL,'[]',0,0);
INSERT INTO "exposure" VALUES(6,6,NULL,6,'lost','no frame on disk',NULL,0.0,0.0,0.0,0.0,0.0,NULL,NULL,'none',NULL,'[]',NULL,0);
INSERT INTO "exposure" VALUES(7,7,2,7,'done','',19,0.0,0.0,0.0,0.0,-1.5,40.0,'2025-03-01 18:17:00.000000','done',NULL,'["no-fit", "thick"]',0,0);
INSERT INTO "exposure" VALUES(8,8,2,8,'done','',21,0.0,0.0,0.0,0.0,-1.5,40.0,'2025-03-01 18:18:00.000000','done',NULL,'["no-fit", "thick"]',0,0);
INSERT INTO "exposure" VALUES(9,9,2,9,'done','',23,0.0,0.0,0.0,0.0,-1.5,40.0,'2025-03-01 18:19:00.000000','done',NULL,'["no-fit", "thick"]',0,0);
INSERT INTO "exposure" VALUES(10,10,NULL,10,'lost','no frame on disk',NULL,0.0,0.0,0.0,0.0,0.0,NULL,NULL,'none',NULL,'[]',NULL,0);
INSERT INTO "exposure" VALUES(11,11,4,11,'done','',27,0.0,0.0,0.0,0.0,-1.5,40.0,'2025-03-01 18:21:00.000000','done',NULL,'[]',1,0);
INSERT INTO "exposure" VALUES(12,12,4,12,'done','',29,0.0,0.0,0.0,0.0,-1.5,40.0,'2025-03-01 18:22:00.000000','done',NULL,'[]',1,0);
INSERT INTO "exposure" VALUES(13,13,4,13,'done','',31,0.0,0.0,0.0,0.0,-1.5,40.0,'2025-03-01 18:23:00.000000','done',NULL,'[]',1,0);
INSERT INTO "exposure" VALUES(14,14,4,14,'done','',33,0.0,0.0,0.0,0.0,-1.5,40.0,'2025-03-01 18:24:00.000000','done',NULL,'[]',1,0);
INSERT INTO "exposure" VALUES(15,15,4,15,'done','',35,0.0,0.0,0.0,0.0,-1.5,40.0,'2025-03-01 18:25:00.000000','done',NULL,'[]',1,0);
INSERT INTO "exposure" VALUES(16,16,NULL,16,'lost','no frame on disk',NULL,0.0,0.0,0.0,0.0,0.0,NULL,NULL,'none',NULL,'[]',NULL,0);
INSERT INTO "exposure" VALUES(17,17,5,17,'done','',39,0.0,0.0,0.0,0.0,-1.5,40.0,'2025-03-01 18:27:00.000000','done',NULL,'["no-fit", "thick"]',0,0);
INSERT INTO "exposure" VALUES(18,18,5,18,'done','',41,0.0,0.0,0.0,0.0,-1.5,40.0,'2025-03-01 18:28:00.000000','done',NULL,'["no-fit", "thick"]',0,0);
INSERT INTO "exposure" VALUES(19,19,5,19,'done','',43,0.0,0.0,0.0,0.0,-1.5,40.0,'2025-03-01 18:29:00.000000','done',NULL,'["no-fit", "thick"]',0,0);
INSERT INTO "exposure" VALUES(20,20,NULL,20,'lost','no frame on disk',NULL,0.0,0.0,0.0,0.0,0.0,NULL,NULL,'none',NULL,'[]',NULL,0);
INSERT INTO "exposure" VALUES(21,21,7,21,'done','',47,0.0,0.0,0.0,0.0,-1.5,40.0,'2025-03-01 18:31:00.000000','done',NULL,'[]',1,0);
INSERT INTO "exposure" VALUES(22,22,7,22,'done','',49,0.0,0.0,0.0,0.0,-1.5,40.0,'2025-03-01 18:32:00.000000','done',NULL,'[]',1,0);
INSERT INTO "exposure" VALUES(23,23,7,23,'done','',51,0.0,0.0,0.0,0.0,-1.5,40.0,'2025-03-01 18:33:00.000000','done',NULL,'[]',1,0);
INSERT INTO "exposure" VALUES(24,24,7,24,'done','',53,0.0,0.0,0.0,0.0,-1.5,40.0,'2025-03-01 18:34:00.000000','done',NULL,'[]',1,0);
INSERT INTO "exposure" VALUES(25,25,7,25,'done','',55,0.0,0.0,0.0,0.0,-1.5,40.0,'2025-03-01 18:35:00.000000','done',NULL,'[]',1,0);
INSERT INTO "exposure" VALUES(26,26,NULL,26,'lost','no frame on disk',NULL,0.0,0.0,0.0,0.0,0.0,NULL,NULL,'none',NULL,'[]',NULL,0);
INSERT INTO "exposure" VALUES(27,27,8,27,'done','',59,0.0,0.0,0.0,0.0,-1.5,40.0,'2025-03-01 18:37:00.000000','done',NULL,'["no-fit", "thick"]',0,0);
INSERT INTO "exposure" VALUES(28,28,8,28,'done','',61,0.0,0.0,0.0,0.0,-1.5,40.0,'2025-03-01 18:38:00.000000','done',NULL,'["no-fit", "thick"]',0,0);
INSERT INTO "exposure" VALUES(29,29,8,29,'done','',63,0.0,0.0,0.0,0.0,-1.5,40.0,'2025-03-01 18:39:00.000000','done',NULL,'["no-fit", "thick"]',0,0);
INSERT INTO "exposure" VALUES(30,30,NULL,30,'lost','no frame on disk',NULL,0.0,0.0,0.0,0.0,0.0,NULL,NULL,'none',NULL,'[]',NULL,0);
INSERT INTO "exposure" VALUES(31,31,12,31,'done','',67,0.0,0.0,0.0,0.0,-1.5,40.0,'2025-03-01 18:41:00.000000','done',NULL,'[]',1,0);
INSERT INTO "exposure" VALUES(32,32,12,32,'done','',69,0.0,0.0,0.0,0.0,-1.5,40.0,'2025-03-01 18:42:00.000000','waiting',NULL,'[]',NULL,0);
INSERT INTO "exposure" VALUES(33,33,NULL,33,'lost','no frame on disk',NULL,0.0,0.0,0.0,0.0,0.0,NULL,NULL,'none',NULL,'[]',NULL,0);
CREATE TABLE fault (
	id INTEGER NOT NULL, 
	session_id INTEGER NOT NULL, 
	at DATETIME NOT NULL, 
	grid_id INTEGER, 
	step_key VARCHAR, 
	kind VARCHAR NOT NULL, 
	message VARCHAR NOT NULL, 
	recovery VARCHAR NOT NULL, 
	attempt INTEGER NOT NULL, 
	CONSTRAINT pk_fault PRIMARY KEY (id), 
	CONSTRAINT fk_fault_grid_id FOREIGN KEY(grid_id) REFERENCES grid (id), 
	CONSTRAINT fk_fault_session_id FOREIGN KEY(session_id) REFERENCES session (id)
);
INSERT INTO "fault" VALUES(1,1,'2025-03-01 18:02:00.000000',1,NULL,'LoadFailed','did not arrive','retry',1);
CREATE TABLE grid (
	id INTEGER NOT NULL, 
	session_id INTEGER NOT NULL, 
	slot INTEGER NOT NULL, 
	name VARCHAR NOT NULL, 
	hole_type VARCHAR NOT NULL, 
	mesh VARCHAR NOT NULL, 
	material VARCHAR NOT NULL, 
	status VARCHAR NOT NULL, 
	reason VARCHAR NOT NULL, 
	loads INTEGER NOT NULL, 
	load_attempts INTEGER NOT NULL, 
	frame JSON, 
	passes_done INTEGER NOT NULL, 
	visit_order INTEGER, 
	angle_deg DOUBLE, 
	first_loaded_at DATETIME, 
	finished_at DATETIME, 
	used_s DOUBLE NOT NULL, 
	CONSTRAINT pk_grid PRIMARY KEY (id), 
	CONSTRAINT ck_grid_status_known CHECK (status IN ('waiting', 'loading', 'loaded', 'screened', 'empty', 'skipped', 'failed')), 
	CONSTRAINT fk_grid_session_id FOREIGN KEY(session_id) REFERENCES session (id), 
	CONSTRAINT uq_grid_session_id_slot UNIQUE (session_id, slot)
);
INSERT INTO "grid" VALUES(1,1,1,'good one','R2/1','','','screened','',1,0,NULL,1,NULL,NULL,NULL,'2025-03-01 19:00:00.000000',0.0);
INSERT INTO "grid" VALUES(2,1,2,'thick one','R2/1','','','screened','',1,0,NULL,1,NULL,NULL,NULL,'2025-03-01 19:50:00.000000',0.0);
INSERT INTO "grid" VALUES(3,1,3,'','R2/1','','','empty','',0,0,NULL,0,NULL,NULL,NULL,NULL,0.0);
INSERT INTO "grid" VALUES(4,1,4,'jammed','R2/1','','','failed','did not arrive',0,3,NULL,1,NULL,NULL,NULL,NULL,0.0);
INSERT INTO "grid" VALUES(5,1,5,'broken one','R2/1','','','screened','',1,0,NULL,1,NULL,NULL,NULL,'2025-03-01 20:30:00.000000',0.0);
INSERT INTO "grid" VALUES(6,1,6,'at work','R2/1','','','loaded','',1,0,NULL,0,NULL,NULL,NULL,NULL,0.0);
INSERT INTO "grid" VALUES(7,1,7,'to come','R2/1','','','waiting','',0,0,NULL,0,NULL,NULL,NULL,NULL,0.0);
CREATE TABLE hole (
	id INTEGER NOT NULL, 
	square_id INTEGER NOT NULL, 
	group_id INTEGER, 
	number INTEGER NOT NULL, 
	stage_x_um DOUBLE NOT NULL, 
	stage_y_um DOUBLE NOT NULL, 
	radius_um DOUBLE NOT NULL, 
	score DOUBLE NOT NULL, 
	site VARCHAR NOT NULL, 
	features JSON NOT NULL, 
	ice_nm DOUBLE, 
	status VARCHAR NOT NULL, 
	reason VARCHAR NOT NULL, 
	visit_order INTEGER, 
	added_by VARCHAR NOT NULL, shots JSON, 
	CONSTRAINT pk_hole PRIMARY KEY (id), 
	CONSTRAINT ck_hole_status_known CHECK (status IN ('found', 'chosen', 'exposed', 'skipped', 'failed', 'lost')), 
	CONSTRAINT fk_hole_group_id FOREIGN KEY(group_id) REFERENCES bis_group (id), 
	CONSTRAINT fk_hole_square_id FOREIGN KEY(square_id) REFERENCES square (id), 
	CONSTRAINT uq_hole_square_id_number UNIQUE (square_id, number)
);
INSERT INTO "hole" VALUES(1,1,1,1,3.0,0.0,1.0,0.9,'hole','{}',30.0,'exposed','',NULL,'',NULL);
INSERT INTO "hole" VALUES(2,1,1,2,6.0,0.0,1.0,0.9,'hole','{}',30.0,'exposed','',NULL,'',NULL);
INSERT INTO "hole" VALUES(3,1,1,3,9.0,0.0,1.0,0.9,'hole','{}',30.0,'exposed','',NULL,'',NULL);
INSERT INTO "hole" VALUES(4,1,1,4,12.0,0.0,1.0,0.9,'hole','{}',30.0,'exposed','',NULL,'',NULL);
INSERT INTO "hole" VALUES(5,1,1,5,15.0,0.0,1.0,0.9,'hole','{}',30.0,'exposed','',NULL,'',NULL);
INSERT INTO "hole" VALUES(6,1,NULL,6,18.0,0.0,1.0,0.9,'hole','{}',30.0,'lost','',NULL,'',NULL);
INSERT INTO "hole" VALUES(7,2,2,1,3.0,0.0,1.0,0.9,'hole','{}',180.0,'exposed','',NULL,'',NULL);
INSERT INTO "hole" VALUES(8,2,2,2,6.0,0.0,1.0,0.9,'hole','{}',180.0,'exposed','',NULL,'',NULL);
INSERT INTO "hole" VALUES(9,2,2,3,9.0,0.0,1.0,0.9,'hole','{}',180.0,'exposed','',NULL,'',NULL);
INSERT INTO "hole" VALUES(10,2,NULL,4,12.0,0.0,1.0,0.9,'hole','{}',180.0,'lost','',NULL,'',NULL);
INSERT INTO "hole" VALUES(11,4,4,1,3.0,0.0,1.0,0.9,'hole','{}',30.0,'exposed','',NULL,'',NULL);
INSERT INTO "hole" VALUES(12,4,4,2,6.0,0.0,1.0,0.9,'hole','{}',30.0,'exposed','',NULL,'',NULL);
INSERT INTO "hole" VALUES(13,4,4,3,9.0,0.0,1.0,0.9,'hole','{}',30.0,'exposed','',NULL,'',NULL);
INSERT INTO "hole" VALUES(14,4,4,4,12.0,0.0,1.0,0.9,'hole','{}',30.0,'exposed','',NULL,'',NULL);
INSERT INTO "hole" VALUES(15,4,4,5,15.0,0.0,1.0,0.9,'hole','{}',30.0,'exposed','',NULL,'',NULL);
INSERT INTO "hole" VALUES(16,4,NULL,6,18.0,0.0,1.0,0.9,'hole','{}',30.0,'lost','',NULL,'',NULL);
INSERT INTO "hole" VALUES(17,5,5,1,3.0,0.0,1.0,0.9,'hole','{}',180.0,'exposed','',NULL,'',NULL);
INSERT INTO "hole" VALUES(18,5,5,2,6.0,0.0,1.0,0.9,'hole','{}',180.0,'exposed','',NULL,'',NULL);
INSERT INTO "hole" VALUES(19,5,5,3,9.0,0.0,1.0,0.9,'hole','{}',180.0,'exposed','',NULL,'',NULL);
INSERT INTO "hole" VALUES(20,5,NULL,4,12.0,0.0,1.0,0.9,'hole','{}',180.0,'lost','',NULL,'',NULL);
INSERT INTO "hole" VALUES(21,7,7,1,3.0,0.0,1.0,0.9,'hole','{}',30.0,'exposed','',NULL,'',NULL);
INSERT INTO "hole" VALUES(22,7,7,2,6.0,0.0,1.0,0.9,'hole','{}',30.0,'exposed','',NULL,'',NULL);
INSERT INTO "hole" VALUES(23,7,7,3,9.0,0.0,1.0,0.9,'hole','{}',30.0,'exposed','',NULL,'',NULL);
INSERT INTO "hole" VALUES(24,7,7,4,12.0,0.0,1.0,0.9,'hole','{}',30.0,'exposed','',NULL,'',NULL);
INSERT INTO "hole" VALUES(25,7,7,5,15.0,0.0,1.0,0.9,'hole','{}',30.0,'exposed','',NULL,'',NULL);
INSERT INTO "hole" VALUES(26,7,NULL,6,18.0,0.0,1.0,0.9,'hole','{}',30.0,'lost','',NULL,'',NULL);
INSERT INTO "hole" VALUES(27,8,8,1,3.0,0.0,1.0,0.9,'hole','{}',180.0,'exposed','',NULL,'',NULL);
INSERT INTO "hole" VALUES(28,8,8,2,6.0,0.0,1.0,0.9,'hole','{}',180.0,'exposed','',NULL,'',NULL);
INSERT INTO "hole" VALUES(29,8,8,3,9.0,0.0,1.0,0.9,'hole','{}',180.0,'exposed','',NULL,'',NULL);
INSERT INTO "hole" VALUES(30,8,NULL,4,12.0,0.0,1.0,0.9,'hole','{}',180.0,'lost','',NULL,'',NULL);
INSERT INTO "hole" VALUES(31,12,12,1,3.0,0.0,1.0,0.9,'hole','{}',40.0,'exposed','',NULL,'',NULL);
INSERT INTO "hole" VALUES(32,12,12,2,6.0,0.0,1.0,0.9,'hole','{}',40.0,'exposed','',NULL,'',NULL);
INSERT INTO "hole" VALUES(33,12,NULL,3,9.0,0.0,1.0,0.9,'hole','{}',40.0,'lost','',NULL,'',NULL);
CREATE TABLE image (
	id INTEGER NOT NULL, 
	session_id INTEGER NOT NULL, 
	of_kind VARCHAR NOT NULL, 
	of_id INTEGER NOT NULL, 
	kind VARCHAR NOT NULL, 
	name VARCHAR NOT NULL, 
	path VARCHAR NOT NULL, 
	sha256 VARCHAR NOT NULL, 
	size_bytes BIGINT NOT NULL, 
	rows_px INTEGER NOT NULL, 
	cols_px INTEGER NOT NULL, 
	frames INTEGER NOT NULL, 
	pixel_size_a DOUBLE, 
	image_to_stage JSON, 
	preset VARCHAR NOT NULL, 
	dose_e_per_a2 DOUBLE, 
	mean_counts DOUBLE, 
	scope JSON NOT NULL, 
	taken_at DATETIME NOT NULL, 
	CONSTRAINT pk_image PRIMARY KEY (id), 
	CONSTRAINT fk_image_session_id FOREIGN KEY(session_id) REFERENCES session (id), 
	CONSTRAINT uq_image_name UNIQUE (name)
);
INSERT INTO "image" VALUES(1,1,'atlas',1,'stitched','g1-atlas','images/g1-atlas.mrc','0000000000000000000000000000000000000000000000000000000000000000',1024,64,64,1,NULL,NULL,'',NULL,NULL,'{}','2025-03-01 18:01:00.000000');
INSERT INTO "image" VALUES(2,1,'atlas',2,'stitched','g2-atlas','images/g2-atlas.mrc','0000000000000000000000000000000000000000000000000000000000000000',1024,64,64,1,NULL,NULL,'',NULL,NULL,'{}','2025-03-01 18:01:00.000000');
INSERT INTO "image" VALUES(3,1,'atlas',3,'stitched','g5-atlas','images/g5-atlas.mrc','0000000000000000000000000000000000000000000000000000000000000000',1024,64,64,1,NULL,NULL,'',NULL,NULL,'{}','2025-03-01 18:01:00.000000');
INSERT INTO "image" VALUES(4,1,'atlas',4,'stitched','g6-atlas','images/g6-atlas.mrc','0000000000000000000000000000000000000000000000000000000000000000',1024,64,64,1,NULL,NULL,'',NULL,NULL,'{}','2025-03-01 18:01:00.000000');
INSERT INTO "image" VALUES(5,1,'square',1,'survey','g1-s1-v0','images/g1-s1-v0.mrc','0000000000000000000000000000000000000000000000000000000000000000',1024,64,64,1,NULL,NULL,'',NULL,NULL,'{}','2025-03-01 18:01:00.000000');
INSERT INTO "image" VALUES(6,1,'square',1,'survey','g1-s1-v1','images/g1-s1-v1.mrc','0000000000000000000000000000000000000000000000000000000000000000',1024,64,64,1,NULL,NULL,'',NULL,NULL,'{}','2025-03-01 18:01:00.000000');
INSERT INTO "image" VALUES(7,1,'exposure',1,'micrograph','e00001','images/e00001.mrc','0000000000000000000000000000000000000000000000000000000000000000',1024,64,64,1,NULL,NULL,'',40.0,NULL,'{}','2025-03-01 18:01:00.000000');
INSERT INTO "image" VALUES(8,1,'exposure',1,'picture','e00001-spectrum','images/e00001-spectrum.mrc','0000000000000000000000000000000000000000000000000000000000000000',1024,64,64,1,NULL,NULL,'',NULL,NULL,'{}','2025-03-01 18:01:00.000000');
INSERT INTO "image" VALUES(9,1,'exposure',2,'micrograph','e00002','images/e00002.mrc','0000000000000000000000000000000000000000000000000000000000000000',1024,64,64,1,NULL,NULL,'',40.0,NULL,'{}','2025-03-01 18:01:00.000000');
INSERT INTO "image" VALUES(10,1,'exposure',2,'picture','e00002-spectrum','images/e00002-spectrum.mrc','0000000000000000000000000000000000000000000000000000000000000000',1024,64,64,1,NULL,NULL,'',NULL,NULL,'{}','2025-03-01 18:01:00.000000');
INSERT INTO "image" VALUES(11,1,'exposure',3,'micrograph','e00003','images/e00003.mrc','0000000000000000000000000000000000000000000000000000000000000000',1024,64,64,1,NULL,NULL,'',40.0,NULL,'{}','2025-03-01 18:01:00.000000');
INSERT INTO "image" VALUES(12,1,'exposure',3,'picture','e00003-spectrum','images/e00003-spectrum.mrc','0000000000000000000000000000000000000000000000000000000000000000',1024,64,64,1,NULL,NULL,'',NULL,NULL,'{}','2025-03-01 18:01:00.000000');
INSERT INTO "image" VALUES(13,1,'exposure',4,'micrograph','e00004','images/e00004.mrc','0000000000000000000000000000000000000000000000000000000000000000',1024,64,64,1,NULL,NULL,'',40.0,NULL,'{}','2025-03-01 18:01:00.000000');
INSERT INTO "image" VALUES(14,1,'exposure',4,'picture','e00004-spectrum','images/e00004-spectrum.mrc','0000000000000000000000000000000000000000000000000000000000000000',1024,64,64,1,NULL,NULL,'',NULL,NULL,'{}','2025-03-01 18:01:00.000000');
INSERT INTO "image" VALUES(15,1,'exposure',5,'micrograph','e00005','images/e00005.mrc','0000000000000000000000000000000000000000000000000000000000000000',1024,64,64,1,NULL,NULL,'',40.0,NULL,'{}','2025-03-01 18:01:00.000000');
INSERT INTO "image" VALUES(16,1,'exposure',5,'picture','e00005-spectrum','images/e00005-spectrum.mrc','0000000000000000000000000000000000000000000000000000000000000000',1024,64,64,1,NULL,NULL,'',NULL,NULL,'{}','2025-03-01 18:01:00.000000');
INSERT INTO "image" VALUES(17,1,'square',2,'survey','g2-s1-v0','images/g2-s1-v0.mrc','0000000000000000000000000000000000000000000000000000000000000000',1024,64,64,1,NULL,NULL,'',NULL,NULL,'{}','2025-03-01 18:01:00.000000');
INSERT INTO "image" VALUES(18,1,'square',2,'survey','g2-s1-v1','images/g2-s1-v1.mrc','0000000000000000000000000000000000000000000000000000000000000000',1024,64,64,1,NULL,NULL,'',NULL,NULL,'{}','2025-03-01 18:01:00.000000');
INSERT INTO "image" VALUES(19,1,'exposure',7,'micrograph','e00007','images/e00007.mrc','0000000000000000000000000000000000000000000000000000000000000000',1024,64,64,1,NULL,NULL,'',40.0,NULL,'{}','2025-03-01 18:01:00.000000');
INSERT INTO "image" VALUES(20,1,'exposure',7,'picture','e00007-spectrum','images/e00007-spectrum.mrc','0000000000000000000000000000000000000000000000000000000000000000',1024,64,64,1,NULL,NULL,'',NULL,NULL,'{}','2025-03-01 18:01:00.000000');
INSERT INTO "image" VALUES(21,1,'exposure',8,'micrograph','e00008','images/e00008.mrc','0000000000000000000000000000000000000000000000000000000000000000',1024,64,64,1,NULL,NULL,'',40.0,NULL,'{}','2025-03-01 18:01:00.000000');
INSERT INTO "image" VALUES(22,1,'exposure',8,'picture','e00008-spectrum','images/e00008-spectrum.mrc','0000000000000000000000000000000000000000000000000000000000000000',1024,64,64,1,NULL,NULL,'',NULL,NULL,'{}','2025-03-01 18:01:00.000000');
INSERT INTO "image" VALUES(23,1,'exposure',9,'micrograph','e00009','images/e00009.mrc','0000000000000000000000000000000000000000000000000000000000000000',1024,64,64,1,NULL,NULL,'',40.0,NULL,'{}','2025-03-01 18:01:00.000000');
INSERT INTO "image" VALUES(24,1,'exposure',9,'picture','e00009-spectrum','images/e00009-spectrum.mrc','0000000000000000000000000000000000000000000000000000000000000000',1024,64,64,1,NULL,NULL,'',NULL,NULL,'{}','2025-03-01 18:01:00.000000');
INSERT INTO "image" VALUES(25,1,'square',4,'survey','g1-s2-v0','images/g1-s2-v0.mrc','0000000000000000000000000000000000000000000000000000000000000000',1024,64,64,1,NULL,NULL,'',NULL,NULL,'{}','2025-03-01 18:01:00.000000');
INSERT INTO "image" VALUES(26,1,'square',4,'survey','g1-s2-v1','images/g1-s2-v1.mrc','0000000000000000000000000000000000000000000000000000000000000000',1024,64,64,1,NULL,NULL,'',NULL,NULL,'{}','2025-03-01 18:01:00.000000');
INSERT INTO "image" VALUES(27,1,'exposure',11,'micrograph','e00011','images/e00011.mrc','0000000000000000000000000000000000000000000000000000000000000000',1024,64,64,1,NULL,NULL,'',40.0,NULL,'{}','2025-03-01 18:01:00.000000');
INSERT INTO "image" VALUES(28,1,'exposure',11,'picture','e00011-spectrum','images/e00011-spectrum.mrc','0000000000000000000000000000000000000000000000000000000000000000',1024,64,64,1,NULL,NULL,'',NULL,NULL,'{}','2025-03-01 18:01:00.000000');
INSERT INTO "image" VALUES(29,1,'exposure',12,'micrograph','e00012','images/e00012.mrc','0000000000000000000000000000000000000000000000000000000000000000',1024,64,64,1,NULL,NULL,'',40.0,NULL,'{}','2025-03-01 18:01:00.000000');
INSERT INTO "image" VALUES(30,1,'exposure',12,'picture','e00012-spectrum','images/e00012-spectrum.mrc','0000000000000000000000000000000000000000000000000000000000000000',1024,64,64,1,NULL,NULL,'',NULL,NULL,'{}','2025-03-01 18:01:00.000000');
INSERT INTO "image" VALUES(31,1,'exposure',13,'micrograph','e00013','images/e00013.mrc','0000000000000000000000000000000000000000000000000000000000000000',1024,64,64,1,NULL,NULL,'',40.0,NULL,'{}','2025-03-01 18:01:00.000000');
INSERT INTO "image" VALUES(32,1,'exposure',13,'picture','e00013-spectrum','images/e00013-spectrum.mrc','0000000000000000000000000000000000000000000000000000000000000000',1024,64,64,1,NULL,NULL,'',NULL,NULL,'{}','2025-03-01 18:01:00.000000');
INSERT INTO "image" VALUES(33,1,'exposure',14,'micrograph','e00014','images/e00014.mrc','0000000000000000000000000000000000000000000000000000000000000000',1024,64,64,1,NULL,NULL,'',40.0,NULL,'{}','2025-03-01 18:01:00.000000');
INSERT INTO "image" VALUES(34,1,'exposure',14,'picture','e00014-spectrum','images/e00014-spectrum.mrc','0000000000000000000000000000000000000000000000000000000000000000',1024,64,64,1,NULL,NULL,'',NULL,NULL,'{}','2025-03-01 18:01:00.000000');
INSERT INTO "image" VALUES(35,1,'exposure',15,'micrograph','e00015','images/e00015.mrc','0000000000000000000000000000000000000000000000000000000000000000',1024,64,64,1,NULL,NULL,'',40.0,NULL,'{}','2025-03-01 18:01:00.000000');
INSERT INTO "image" VALUES(36,1,'exposure',15,'picture','e00015-spectrum','images/e00015-spectrum.mrc','0000000000000000000000000000000000000000000000000000000000000000',1024,64,64,1,NULL,NULL,'',NULL,NULL,'{}','2025-03-01 18:01:00.000000');
INSERT INTO "image" VALUES(37,1,'square',5,'survey','g2-s2-v0','images/g2-s2-v0.mrc','0000000000000000000000000000000000000000000000000000000000000000',1024,64,64,1,NULL,NULL,'',NULL,NULL,'{}','2025-03-01 18:01:00.000000');
INSERT INTO "image" VALUES(38,1,'square',5,'survey','g2-s2-v1','images/g2-s2-v1.mrc','0000000000000000000000000000000000000000000000000000000000000000',1024,64,64,1,NULL,NULL,'',NULL,NULL,'{}','2025-03-01 18:01:00.000000');
INSERT INTO "image" VALUES(39,1,'exposure',17,'micrograph','e00017','images/e00017.mrc','0000000000000000000000000000000000000000000000000000000000000000',1024,64,64,1,NULL,NULL,'',40.0,NULL,'{}','2025-03-01 18:01:00.000000');
INSERT INTO "image" VALUES(40,1,'exposure',17,'picture','e00017-spectrum','images/e00017-spectrum.mrc','0000000000000000000000000000000000000000000000000000000000000000',1024,64,64,1,NULL,NULL,'',NULL,NULL,'{}','2025-03-01 18:01:00.000000');
INSERT INTO "image" VALUES(41,1,'exposure',18,'micrograph','e00018','images/e00018.mrc','0000000000000000000000000000000000000000000000000000000000000000',1024,64,64,1,NULL,NULL,'',40.0,NULL,'{}','2025-03-01 18:01:00.000000');
INSERT INTO "image" VALUES(42,1,'exposure',18,'picture','e00018-spectrum','images/e00018-spectrum.mrc','0000000000000000000000000000000000000000000000000000000000000000',1024,64,64,1,NULL,NULL,'',NULL,NULL,'{}','2025-03-01 18:01:00.000000');
INSERT INTO "image" VALUES(43,1,'exposure',19,'micrograph','e00019','images/e00019.mrc','0000000000000000000000000000000000000000000000000000000000000000',1024,64,64,1,NULL,NULL,'',40.0,NULL,'{}','2025-03-01 18:01:00.000000');
INSERT INTO "image" VALUES(44,1,'exposure',19,'picture','e00019-spectrum','images/e00019-spectrum.mrc','0000000000000000000000000000000000000000000000000000000000000000',1024,64,64,1,NULL,NULL,'',NULL,NULL,'{}','2025-03-01 18:01:00.000000');
INSERT INTO "image" VALUES(45,1,'square',7,'survey','g1-s3-v0','images/g1-s3-v0.mrc','0000000000000000000000000000000000000000000000000000000000000000',1024,64,64,1,NULL,NULL,'',NULL,NULL,'{}','2025-03-01 18:01:00.000000');
INSERT INTO "image" VALUES(46,1,'square',7,'survey','g1-s3-v1','images/g1-s3-v1.mrc','0000000000000000000000000000000000000000000000000000000000000000',1024,64,64,1,NULL,NULL,'',NULL,NULL,'{}','2025-03-01 18:01:00.000000');
INSERT INTO "image" VALUES(47,1,'exposure',21,'micrograph','e00021','images/e00021.mrc','0000000000000000000000000000000000000000000000000000000000000000',1024,64,64,1,NULL,NULL,'',40.0,NULL,'{}','2025-03-01 18:01:00.000000');
INSERT INTO "image" VALUES(48,1,'exposure',21,'picture','e00021-spectrum','images/e00021-spectrum.mrc','0000000000000000000000000000000000000000000000000000000000000000',1024,64,64,1,NULL,NULL,'',NULL,NULL,'{}','2025-03-01 18:01:00.000000');
INSERT INTO "image" VALUES(49,1,'exposure',22,'micrograph','e00022','images/e00022.mrc','0000000000000000000000000000000000000000000000000000000000000000',1024,64,64,1,NULL,NULL,'',40.0,NULL,'{}','2025-03-01 18:01:00.000000');
INSERT INTO "image" VALUES(50,1,'exposure',22,'picture','e00022-spectrum','images/e00022-spectrum.mrc','0000000000000000000000000000000000000000000000000000000000000000',1024,64,64,1,NULL,NULL,'',NULL,NULL,'{}','2025-03-01 18:01:00.000000');
INSERT INTO "image" VALUES(51,1,'exposure',23,'micrograph','e00023','images/e00023.mrc','0000000000000000000000000000000000000000000000000000000000000000',1024,64,64,1,NULL,NULL,'',40.0,NULL,'{}','2025-03-01 18:01:00.000000');
INSERT INTO "image" VALUES(52,1,'exposure',23,'picture','e00023-spectrum','images/e00023-spectrum.mrc','0000000000000000000000000000000000000000000000000000000000000000',1024,64,64,1,NULL,NULL,'',NULL,NULL,'{}','2025-03-01 18:01:00.000000');
INSERT INTO "image" VALUES(53,1,'exposure',24,'micrograph','e00024','images/e00024.mrc','0000000000000000000000000000000000000000000000000000000000000000',1024,64,64,1,NULL,NULL,'',40.0,NULL,'{}','2025-03-01 18:01:00.000000');
INSERT INTO "image" VALUES(54,1,'exposure',24,'picture','e00024-spectrum','images/e00024-spectrum.mrc','0000000000000000000000000000000000000000000000000000000000000000',1024,64,64,1,NULL,NULL,'',NULL,NULL,'{}','2025-03-01 18:01:00.000000');
INSERT INTO "image" VALUES(55,1,'exposure',25,'micrograph','e00025','images/e00025.mrc','0000000000000000000000000000000000000000000000000000000000000000',1024,64,64,1,NULL,NULL,'',40.0,NULL,'{}','2025-03-01 18:01:00.000000');
INSERT INTO "image" VALUES(56,1,'exposure',25,'picture','e00025-spectrum','images/e00025-spectrum.mrc','0000000000000000000000000000000000000000000000000000000000000000',1024,64,64,1,NULL,NULL,'',NULL,NULL,'{}','2025-03-01 18:01:00.000000');
INSERT INTO "image" VALUES(57,1,'square',8,'survey','g2-s3-v0','images/g2-s3-v0.mrc','0000000000000000000000000000000000000000000000000000000000000000',1024,64,64,1,NULL,NULL,'',NULL,NULL,'{}','2025-03-01 18:01:00.000000');
INSERT INTO "image" VALUES(58,1,'square',8,'survey','g2-s3-v1','images/g2-s3-v1.mrc','0000000000000000000000000000000000000000000000000000000000000000',1024,64,64,1,NULL,NULL,'',NULL,NULL,'{}','2025-03-01 18:01:00.000000');
INSERT INTO "image" VALUES(59,1,'exposure',27,'micrograph','e00027','images/e00027.mrc','0000000000000000000000000000000000000000000000000000000000000000',1024,64,64,1,NULL,NULL,'',40.0,NULL,'{}','2025-03-01 18:01:00.000000');
INSERT INTO "image" VALUES(60,1,'exposure',27,'picture','e00027-spectrum','images/e00027-spectrum.mrc','0000000000000000000000000000000000000000000000000000000000000000',1024,64,64,1,NULL,NULL,'',NULL,NULL,'{}','2025-03-01 18:01:00.000000');
INSERT INTO "image" VALUES(61,1,'exposure',28,'micrograph','e00028','images/e00028.mrc','0000000000000000000000000000000000000000000000000000000000000000',1024,64,64,1,NULL,NULL,'',40.0,NULL,'{}','2025-03-01 18:01:00.000000');
INSERT INTO "image" VALUES(62,1,'exposure',28,'picture','e00028-spectrum','images/e00028-spectrum.mrc','0000000000000000000000000000000000000000000000000000000000000000',1024,64,64,1,NULL,NULL,'',NULL,NULL,'{}','2025-03-01 18:01:00.000000');
INSERT INTO "image" VALUES(63,1,'exposure',29,'micrograph','e00029','images/e00029.mrc','0000000000000000000000000000000000000000000000000000000000000000',1024,64,64,1,NULL,NULL,'',40.0,NULL,'{}','2025-03-01 18:01:00.000000');
INSERT INTO "image" VALUES(64,1,'exposure',29,'picture','e00029-spectrum','images/e00029-spectrum.mrc','0000000000000000000000000000000000000000000000000000000000000000',1024,64,64,1,NULL,NULL,'',NULL,NULL,'{}','2025-03-01 18:01:00.000000');
INSERT INTO "image" VALUES(65,1,'square',12,'survey','g6-s1-v0','images/g6-s1-v0.mrc','0000000000000000000000000000000000000000000000000000000000000000',1024,64,64,1,NULL,NULL,'',NULL,NULL,'{}','2025-03-01 18:01:00.000000');
INSERT INTO "image" VALUES(66,1,'square',12,'survey','g6-s1-v1','images/g6-s1-v1.mrc','0000000000000000000000000000000000000000000000000000000000000000',1024,64,64,1,NULL,NULL,'',NULL,NULL,'{}','2025-03-01 18:01:00.000000');
INSERT INTO "image" VALUES(67,1,'exposure',31,'micrograph','e00031','images/e00031.mrc','0000000000000000000000000000000000000000000000000000000000000000',1024,64,64,1,NULL,NULL,'',40.0,NULL,'{}','2025-03-01 18:01:00.000000');
INSERT INTO "image" VALUES(68,1,'exposure',31,'picture','e00031-spectrum','images/e00031-spectrum.mrc','0000000000000000000000000000000000000000000000000000000000000000',1024,64,64,1,NULL,NULL,'',NULL,NULL,'{}','2025-03-01 18:01:00.000000');
INSERT INTO "image" VALUES(69,1,'exposure',32,'micrograph','e00032','images/e00032.mrc','0000000000000000000000000000000000000000000000000000000000000000',1024,64,64,1,NULL,NULL,'',40.0,NULL,'{}','2025-03-01 18:01:00.000000');
INSERT INTO "image" VALUES(70,1,'exposure',32,'picture','e00032-spectrum','images/e00032-spectrum.mrc','0000000000000000000000000000000000000000000000000000000000000000',1024,64,64,1,NULL,NULL,'',NULL,NULL,'{}','2025-03-01 18:01:00.000000');
CREATE TABLE job (
	id VARCHAR(191) NOT NULL, 
	next_run_time DOUBLE, 
	job_state BLOB NOT NULL, 
	CONSTRAINT pk_job PRIMARY KEY (id)
);
CREATE TABLE label (
	id INTEGER NOT NULL, 
	of_kind VARCHAR NOT NULL, 
	of_id INTEGER NOT NULL, 
	label VARCHAR NOT NULL, 
	"by" VARCHAR NOT NULL, 
	at DATETIME NOT NULL, 
	CONSTRAINT pk_label PRIMARY KEY (id)
);
CREATE TABLE lease (
	id INTEGER NOT NULL, 
	pid INTEGER NOT NULL, 
	host VARCHAR NOT NULL, 
	user VARCHAR NOT NULL, 
	taken_at DATETIME NOT NULL, 
	beat_at DATETIME NOT NULL, 
	CONSTRAINT pk_lease PRIMARY KEY (id)
);
CREATE TABLE measure (
	id INTEGER NOT NULL, 
	of_kind VARCHAR NOT NULL, 
	of_id INTEGER NOT NULL, 
	name VARCHAR NOT NULL, 
	value DOUBLE NOT NULL, 
	version VARCHAR NOT NULL, 
	at DATETIME NOT NULL, 
	CONSTRAINT pk_measure PRIMARY KEY (id), 
	CONSTRAINT uq_measure_of_kind_of_id_name_version UNIQUE (of_kind, of_id, name, version)
);
INSERT INTO "measure" VALUES(1,'exposure',1,'ice_nm',99.0,'0','2025-03-08 00:00:00.000000');
INSERT INTO "measure" VALUES(2,'exposure',1,'ice_nm',30.0,'1','2025-03-08 00:01:00.000000');
INSERT INTO "measure" VALUES(3,'exposure',1,'fit_resolution_a',99.0,'0','2025-03-08 00:00:00.000000');
INSERT INTO "measure" VALUES(4,'exposure',1,'fit_resolution_a',3.7,'1','2025-03-08 00:01:00.000000');
INSERT INTO "measure" VALUES(5,'exposure',2,'ice_nm',99.0,'0','2025-03-08 00:00:00.000000');
INSERT INTO "measure" VALUES(6,'exposure',2,'ice_nm',30.0,'1','2025-03-08 00:01:00.000000');
INSERT INTO "measure" VALUES(7,'exposure',2,'fit_resolution_a',99.0,'0','2025-03-08 00:00:00.000000');
INSERT INTO "measure" VALUES(8,'exposure',2,'fit_resolution_a',3.80000000000000026645e+00,'1','2025-03-08 00:01:00.000000');
INSERT INTO "measure" VALUES(9,'exposure',3,'ice_nm',99.0,'0','2025-03-08 00:00:00.000000');
INSERT INTO "measure" VALUES(10,'exposure',3,'ice_nm',30.0,'1','2025-03-08 00:01:00.000000');
INSERT INTO "measure" VALUES(11,'exposure',3,'fit_resolution_a',99.0,'0','2025-03-08 00:00:00.000000');
INSERT INTO "measure" VALUES(12,'exposure',3,'fit_resolution_a',3.9,'1','2025-03-08 00:01:00.000000');
INSERT INTO "measure" VALUES(13,'exposure',4,'ice_nm',99.0,'0','2025-03-08 00:00:00.000000');
INSERT INTO "measure" VALUES(14,'exposure',4,'ice_nm',30.0,'1','2025-03-08 00:01:00.000000');
INSERT INTO "measure" VALUES(15,'exposure',4,'fit_resolution_a',99.0,'0','2025-03-08 00:00:00.000000');
INSERT INTO "measure" VALUES(16,'exposure',4,'fit_resolution_a',4.0,'1','2025-03-08 00:01:00.000000');
INSERT INTO "measure" VALUES(17,'exposure',5,'ice_nm',99.0,'0','2025-03-08 00:00:00.000000');
INSERT INTO "measure" VALUES(18,'exposure',5,'ice_nm',30.0,'1','2025-03-08 00:01:00.000000');
INSERT INTO "measure" VALUES(19,'exposure',5,'fit_resolution_a',99.0,'0','2025-03-08 00:00:00.000000');
INSERT INTO "measure" VALUES(20,'exposure',5,'fit_resolution_a',4.1,'1','2025-03-08 00:01:00.000000');
INSERT INTO "measure" VALUES(21,'exposure',7,'ice_nm',99.0,'0','2025-03-08 00:00:00.000000');
INSERT INTO "measure" VALUES(22,'exposure',7,'ice_nm',180.0,'1','2025-03-08 00:01:00.000000');
INSERT INTO "measure" VALUES(23,'exposure',8,'ice_nm',99.0,'0','2025-03-08 00:00:00.000000');
INSERT INTO "measure" VALUES(24,'exposure',8,'ice_nm',180.0,'1','2025-03-08 00:01:00.000000');
INSERT INTO "measure" VALUES(25,'exposure',9,'ice_nm',99.0,'0','2025-03-08 00:00:00.000000');
INSERT INTO "measure" VALUES(26,'exposure',9,'ice_nm',180.0,'1','2025-03-08 00:01:00.000000');
INSERT INTO "measure" VALUES(27,'exposure',11,'ice_nm',99.0,'0','2025-03-08 00:00:00.000000');
INSERT INTO "measure" VALUES(28,'exposure',11,'ice_nm',30.0,'1','2025-03-08 00:01:00.000000');
INSERT INTO "measure" VALUES(29,'exposure',11,'fit_resolution_a',99.0,'0','2025-03-08 00:00:00.000000');
INSERT INTO "measure" VALUES(30,'exposure',11,'fit_resolution_a',3.80000000000000026645e+00,'1','2025-03-08 00:01:00.000000');
INSERT INTO "measure" VALUES(31,'exposure',12,'ice_nm',99.0,'0','2025-03-08 00:00:00.000000');
INSERT INTO "measure" VALUES(32,'exposure',12,'ice_nm',30.0,'1','2025-03-08 00:01:00.000000');
INSERT INTO "measure" VALUES(33,'exposure',12,'fit_resolution_a',99.0,'0','2025-03-08 00:00:00.000000');
INSERT INTO "measure" VALUES(34,'exposure',12,'fit_resolution_a',3.90000000000000035527e+00,'1','2025-03-08 00:01:00.000000');
INSERT INTO "measure" VALUES(35,'exposure',13,'ice_nm',99.0,'0','2025-03-08 00:00:00.000000');
INSERT INTO "measure" VALUES(36,'exposure',13,'ice_nm',30.0,'1','2025-03-08 00:01:00.000000');
INSERT INTO "measure" VALUES(37,'exposure',13,'fit_resolution_a',99.0,'0','2025-03-08 00:00:00.000000');
INSERT INTO "measure" VALUES(38,'exposure',13,'fit_resolution_a',4.0,'1','2025-03-08 00:01:00.000000');
INSERT INTO "measure" VALUES(39,'exposure',14,'ice_nm',99.0,'0','2025-03-08 00:00:00.000000');
INSERT INTO "measure" VALUES(40,'exposure',14,'ice_nm',30.0,'1','2025-03-08 00:01:00.000000');
INSERT INTO "measure" VALUES(41,'exposure',14,'fit_resolution_a',99.0,'0','2025-03-08 00:00:00.000000');
INSERT INTO "measure" VALUES(42,'exposure',14,'fit_resolution_a',4.1000000000000005329e+00,'1','2025-03-08 00:01:00.000000');
INSERT INTO "measure" VALUES(43,'exposure',15,'ice_nm',99.0,'0','2025-03-08 00:00:00.000000');
INSERT INTO "measure" VALUES(44,'exposure',15,'ice_nm',30.0,'1','2025-03-08 00:01:00.000000');
INSERT INTO "measure" VALUES(45,'exposure',15,'fit_resolution_a',99.0,'0','2025-03-08 00:00:00.000000');
INSERT INTO "measure" VALUES(46,'exposure',15,'fit_resolution_a',4.2,'1','2025-03-08 00:01:00.000000');
INSERT INTO "measure" VALUES(47,'exposure',17,'ice_nm',99.0,'0','2025-03-08 00:00:00.000000');
INSERT INTO "measure" VALUES(48,'exposure',17,'ice_nm',180.0,'1','2025-03-08 00:01:00.000000');
INSERT INTO "measure" VALUES(49,'exposure',18,'ice_nm',99.0,'0','2025-03-08 00:00:00.000000');
INSERT INTO "measure" VALUES(50,'exposure',18,'ice_nm',180.0,'1','2025-03-08 00:01:00.000000');
INSERT INTO "measure" VALUES(51,'exposure',19,'ice_nm',99.0,'0','2025-03-08 00:00:00.000000');
INSERT INTO "measure" VALUES(52,'exposure',19,'ice_nm',180.0,'1','2025-03-08 00:01:00.000000');
INSERT INTO "measure" VALUES(53,'exposure',21,'ice_nm',99.0,'0','2025-03-08 00:00:00.000000');
INSERT INTO "measure" VALUES(54,'exposure',21,'ice_nm',30.0,'1','2025-03-08 00:01:00.000000');
INSERT INTO "measure" VALUES(55,'exposure',21,'fit_resolution_a',99.0,'0','2025-03-08 00:00:00.000000');
INSERT INTO "measure" VALUES(56,'exposure',21,'fit_resolution_a',3.9,'1','2025-03-08 00:01:00.000000');
INSERT INTO "measure" VALUES(57,'exposure',22,'ice_nm',99.0,'0','2025-03-08 00:00:00.000000');
INSERT INTO "measure" VALUES(58,'exposure',22,'ice_nm',30.0,'1','2025-03-08 00:01:00.000000');
INSERT INTO "measure" VALUES(59,'exposure',22,'fit_resolution_a',99.0,'0','2025-03-08 00:00:00.000000');
INSERT INTO "measure" VALUES(60,'exposure',22,'fit_resolution_a',4.0,'1','2025-03-08 00:01:00.000000');
INSERT INTO "measure" VALUES(61,'exposure',23,'ice_nm',99.0,'0','2025-03-08 00:00:00.000000');
INSERT INTO "measure" VALUES(62,'exposure',23,'ice_nm',30.0,'1','2025-03-08 00:01:00.000000');
INSERT INTO "measure" VALUES(63,'exposure',23,'fit_resolution_a',99.0,'0','2025-03-08 00:00:00.000000');
INSERT INTO "measure" VALUES(64,'exposure',23,'fit_resolution_a',4.1,'1','2025-03-08 00:01:00.000000');
INSERT INTO "measure" VALUES(65,'exposure',24,'ice_nm',99.0,'0','2025-03-08 00:00:00.000000');
INSERT INTO "measure" VALUES(66,'exposure',24,'ice_nm',30.0,'1','2025-03-08 00:01:00.000000');
INSERT INTO "measure" VALUES(67,'exposure',24,'fit_resolution_a',99.0,'0','2025-03-08 00:00:00.000000');
INSERT INTO "measure" VALUES(68,'exposure',24,'fit_resolution_a',4.2,'1','2025-03-08 00:01:00.000000');
INSERT INTO "measure" VALUES(69,'exposure',25,'ice_nm',99.0,'0','2025-03-08 00:00:00.000000');
INSERT INTO "measure" VALUES(70,'exposure',25,'ice_nm',30.0,'1','2025-03-08 00:01:00.000000');
INSERT INTO "measure" VALUES(71,'exposure',25,'fit_resolution_a',99.0,'0','2025-03-08 00:00:00.000000');
INSERT INTO "measure" VALUES(72,'exposure',25,'fit_resolution_a',4.3,'1','2025-03-08 00:01:00.000000');
INSERT INTO "measure" VALUES(73,'exposure',27,'ice_nm',99.0,'0','2025-03-08 00:00:00.000000');
INSERT INTO "measure" VALUES(74,'exposure',27,'ice_nm',180.0,'1','2025-03-08 00:01:00.000000');
INSERT INTO "measure" VALUES(75,'exposure',28,'ice_nm',99.0,'0','2025-03-08 00:00:00.000000');
INSERT INTO "measure" VALUES(76,'exposure',28,'ice_nm',180.0,'1','2025-03-08 00:01:00.000000');
INSERT INTO "measure" VALUES(77,'exposure',29,'ice_nm',99.0,'0','2025-03-08 00:00:00.000000');
INSERT INTO "measure" VALUES(78,'exposure',29,'ice_nm',180.0,'1','2025-03-08 00:01:00.000000');
INSERT INTO "measure" VALUES(79,'exposure',31,'ice_nm',99.0,'0','2025-03-08 00:00:00.000000');
INSERT INTO "measure" VALUES(80,'exposure',31,'ice_nm',40.0,'1','2025-03-08 00:01:00.000000');
INSERT INTO "measure" VALUES(81,'exposure',31,'fit_resolution_a',99.0,'0','2025-03-08 00:00:00.000000');
INSERT INTO "measure" VALUES(82,'exposure',31,'fit_resolution_a',4.1,'1','2025-03-08 00:01:00.000000');
CREATE TABLE note (
	id INTEGER NOT NULL, 
	of_kind VARCHAR NOT NULL, 
	of_id INTEGER NOT NULL, 
	text VARCHAR NOT NULL, 
	"by" VARCHAR NOT NULL, 
	at DATETIME NOT NULL, 
	CONSTRAINT pk_note PRIMARY KEY (id)
);
CREATE TABLE session (
	id INTEGER NOT NULL, 
	name VARCHAR NOT NULL, 
	protocol JSON NOT NULL, 
	cassette JSON NOT NULL, 
	microscope JSON NOT NULL, 
	plugins JSON NOT NULL, 
	code_version VARCHAR NOT NULL, 
	seed BIGINT NOT NULL, 
	phase VARCHAR NOT NULL, 
	run_status VARCHAR NOT NULL, 
	pass_number INTEGER NOT NULL, 
	grid_id INTEGER, 
	square_id INTEGER, 
	group_id INTEGER, 
	doing VARCHAR NOT NULL, 
	started_at DATETIME NOT NULL, 
	deadline_at DATETIME, 
	finished_at DATETIME, 
	outcome VARCHAR NOT NULL, 
	resumes INTEGER NOT NULL, 
	CONSTRAINT pk_session PRIMARY KEY (id), 
	CONSTRAINT ck_session_run_status_known CHECK (run_status IN ('running', 'pausing', 'paused', 'stopping', 'stopped', 'parked', 'finished')), 
	CONSTRAINT fk_session_grid_id FOREIGN KEY(grid_id) REFERENCES grid (id), 
	CONSTRAINT fk_session_square_id FOREIGN KEY(square_id) REFERENCES square (id), 
	CONSTRAINT fk_session_group_id FOREIGN KEY(group_id) REFERENCES bis_group (id)
);
INSERT INTO "session" VALUES(1,'miniature','{"name": "screening-fast"}','{"slots": 7}','{"use": "sim"}','{"sim": "1"}','0.1.0',7,'expose','running',0,6,12,NULL,'exposing hole 2 of square 1','2025-03-01 18:00:00.000000','2025-03-02 07:20:00.000000',NULL,'',0);
CREATE TABLE square (
	id INTEGER NOT NULL, 
	grid_id INTEGER NOT NULL, 
	number INTEGER NOT NULL, 
	stage_x_um DOUBLE NOT NULL, 
	stage_y_um DOUBLE NOT NULL, 
	stage_z_um DOUBLE, 
	corners_um JSON NOT NULL, 
	area_um2 DOUBLE NOT NULL, 
	mean DOUBLE NOT NULL, 
	score DOUBLE NOT NULL, 
	category VARCHAR NOT NULL, 
	partial BOOLEAN NOT NULL, 
	features JSON NOT NULL, 
	status VARCHAR NOT NULL, 
	reason VARCHAR NOT NULL, 
	visit_order INTEGER, 
	pass_number INTEGER, 
	correction_x_um DOUBLE NOT NULL, 
	correction_y_um DOUBLE NOT NULL, 
	image_id INTEGER, 
	lattice JSON, 
	vacuum_counts DOUBLE, 
	CONSTRAINT pk_square PRIMARY KEY (id), 
	CONSTRAINT ck_square_status_known CHECK (status IN ('found', 'chosen', 'surveyed', 'done', 'skipped', 'failed')), 
	CONSTRAINT fk_square_grid_id FOREIGN KEY(grid_id) REFERENCES grid (id), 
	CONSTRAINT fk_square_image_id FOREIGN KEY(image_id) REFERENCES image (id), 
	CONSTRAINT uq_square_grid_id_number UNIQUE (grid_id, number)
);
INSERT INTO "square" VALUES(1,1,1,100.0,50.0,NULL,'[[0, 0], [0, 1], [1, 1], [1, 0]]',2500.0,120.0,0.5,'good',0,'{}','done','',NULL,NULL,0.0,0.0,NULL,NULL,NULL);
INSERT INTO "square" VALUES(2,2,1,100.0,50.0,NULL,'[[0, 0], [0, 1], [1, 1], [1, 0]]',2500.0,120.0,0.5,'good',0,'{}','done','',NULL,NULL,0.0,0.0,NULL,NULL,NULL);
INSERT INTO "square" VALUES(3,5,1,100.0,50.0,NULL,'[[0, 0], [0, 1], [1, 1], [1, 0]]',2500.0,120.0,0.5,'broken_or_dry',0,'{}','found','',NULL,NULL,0.0,0.0,NULL,NULL,NULL);
INSERT INTO "square" VALUES(4,1,2,200.0,50.0,NULL,'[[0, 0], [0, 1], [1, 1], [1, 0]]',2500.0,120.0,0.5,'good',0,'{}','done','',NULL,NULL,0.0,0.0,NULL,NULL,NULL);
INSERT INTO "square" VALUES(5,2,2,200.0,50.0,NULL,'[[0, 0], [0, 1], [1, 1], [1, 0]]',2500.0,120.0,0.5,'good',0,'{}','done','',NULL,NULL,0.0,0.0,NULL,NULL,NULL);
INSERT INTO "square" VALUES(6,5,2,200.0,50.0,NULL,'[[0, 0], [0, 1], [1, 1], [1, 0]]',2500.0,120.0,0.5,'broken_or_dry',0,'{}','found','',NULL,NULL,0.0,0.0,NULL,NULL,NULL);
INSERT INTO "square" VALUES(7,1,3,300.0,50.0,NULL,'[[0, 0], [0, 1], [1, 1], [1, 0]]',2500.0,120.0,0.5,'good',0,'{}','done','',NULL,NULL,0.0,0.0,NULL,NULL,NULL);
INSERT INTO "square" VALUES(8,2,3,300.0,50.0,NULL,'[[0, 0], [0, 1], [1, 1], [1, 0]]',2500.0,120.0,0.5,'good',0,'{}','done','',NULL,NULL,0.0,0.0,NULL,NULL,NULL);
INSERT INTO "square" VALUES(9,5,3,300.0,50.0,NULL,'[[0, 0], [0, 1], [1, 1], [1, 0]]',2500.0,120.0,0.5,'broken_or_dry',0,'{}','found','',NULL,NULL,0.0,0.0,NULL,NULL,NULL);
INSERT INTO "square" VALUES(10,1,4,400.0,50.0,NULL,'[[0, 0], [0, 1], [1, 1], [1, 0]]',2500.0,120.0,0.5,'good',0,'{}','found','',NULL,NULL,0.0,0.0,NULL,NULL,NULL);
INSERT INTO "square" VALUES(11,1,5,500.0,50.0,NULL,'[[0, 0], [0, 1], [1, 1], [1, 0]]',2500.0,120.0,0.5,'cracked',0,'{}','found','',NULL,NULL,0.0,0.0,NULL,NULL,NULL);
INSERT INTO "square" VALUES(12,6,1,100.0,50.0,NULL,'[[0, 0], [0, 1], [1, 1], [1, 0]]',2500.0,120.0,0.5,'good',0,'{}','done','',NULL,NULL,0.0,0.0,NULL,NULL,NULL);
CREATE TABLE step (
	"key" VARCHAR(200) NOT NULL, 
	session_id INTEGER NOT NULL, 
	kind VARCHAR NOT NULL, 
	grid_id INTEGER, 
	status VARCHAR NOT NULL, 
	attempts INTEGER NOT NULL, 
	intent JSON NOT NULL, 
	started_at DATETIME NOT NULL, 
	ended_at DATETIME, 
	error VARCHAR NOT NULL, 
	CONSTRAINT pk_step PRIMARY KEY ("key"), 
	CONSTRAINT ck_step_status_known CHECK (status IN ('started', 'done', 'failed', 'lost')), 
	CONSTRAINT fk_step_grid_id FOREIGN KEY(grid_id) REFERENCES grid (id), 
	CONSTRAINT fk_step_session_id FOREIGN KEY(session_id) REFERENCES session (id)
);
INSERT INTO "step" VALUES('grid 1 load',1,'load',1,'done',1,'{}','2025-03-01 18:01:00.000000','2025-03-01 18:02:00.000000','');
INSERT INTO "step" VALUES('grid 6 load',1,'load',6,'done',1,'{}','2025-03-01 18:06:00.000000','2025-03-01 18:07:00.000000','');
CREATE TABLE tile (
	id INTEGER NOT NULL, 
	atlas_id INTEGER NOT NULL, 
	number INTEGER NOT NULL, 
	"row" INTEGER NOT NULL, 
	col INTEGER NOT NULL, 
	stage_x_um DOUBLE NOT NULL, 
	stage_y_um DOUBLE NOT NULL, 
	status VARCHAR NOT NULL, 
	image_id INTEGER, 
	offset_row_px DOUBLE, 
	offset_col_px DOUBLE, 
	CONSTRAINT pk_tile PRIMARY KEY (id), 
	CONSTRAINT fk_tile_atlas_id FOREIGN KEY(atlas_id) REFERENCES atlas (id), 
	CONSTRAINT fk_tile_image_id FOREIGN KEY(image_id) REFERENCES image (id), 
	CONSTRAINT uq_tile_atlas_id_number UNIQUE (atlas_id, number)
);
INSERT INTO "tile" VALUES(1,1,1,0,1,0.0,0.0,'done',NULL,NULL,NULL);
INSERT INTO "tile" VALUES(2,1,2,0,2,0.0,0.0,'done',NULL,NULL,NULL);
INSERT INTO "tile" VALUES(3,2,1,0,1,0.0,0.0,'done',NULL,NULL,NULL);
INSERT INTO "tile" VALUES(4,2,2,0,2,0.0,0.0,'done',NULL,NULL,NULL);
INSERT INTO "tile" VALUES(5,3,1,0,1,0.0,0.0,'done',NULL,NULL,NULL);
INSERT INTO "tile" VALUES(6,3,2,0,2,0.0,0.0,'done',NULL,NULL,NULL);
INSERT INTO "tile" VALUES(7,4,1,0,1,0.0,0.0,'done',NULL,NULL,NULL);
INSERT INTO "tile" VALUES(8,4,2,0,2,0.0,0.0,'done',NULL,NULL,NULL);
CREATE INDEX ix_atlas_grid_id ON atlas (grid_id);
CREATE INDEX ix_square_grid_id ON square (grid_id);
CREATE INDEX ix_bis_group_square_id ON bis_group (square_id);
CREATE INDEX ix_hole_group_id ON hole (group_id);
CREATE INDEX ix_hole_square_id ON hole (square_id);
CREATE INDEX ix_step_grid_id ON step (grid_id);
CREATE INDEX ix_event_session_id ON event (session_id);
CREATE INDEX ix_job_next_run_time ON job (next_run_time);
CREATE TRIGGER event_keeps_its_rows BEFORE UPDATE ON event
    BEGIN SELECT RAISE(ABORT, 'events are never changed'); END;
CREATE TRIGGER event_keeps_all_rows BEFORE DELETE ON event
    BEGIN SELECT RAISE(ABORT, 'events are never deleted'); END;
CREATE TRIGGER event_is_never_replaced BEFORE INSERT ON event
    WHEN EXISTS (SELECT 1 FROM event WHERE id = NEW.id)
    BEGIN SELECT RAISE(ABORT, 'events are never replaced'); END;
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('event',3);
COMMIT;
